/*-------------------------------------------------------------------------
 *
 * check_json.c
 *		The rules of the JSON columns of rswebhook.destination: headers,
 *		signing_secrets and status_outcomes.
 *
 * As in check.c, nothing raises an error for what a value says,
 * and no problem quotes a header's value or a secret.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "transform/header.h"
#include "utils/datetime.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "base/encoding.h"
#include "destination/check_json.h"
#include "destination/problem.h"
#include "destination/sign.h"
#include "destination/values.h"
#include "destination/verdict.h"
#include "http/ascii.h"
#include "tables/tables.h"
#include "transform/dynamic.h"
#include "transform/json.h"
#include "transform/request.h"

#define MAX_STATUS 999

#define MAX_SIGNING_SECRETS 8

typedef struct HeaderItem
{
	char	   *name;
	int			name_len;
	JsonbValue	value;			/* a string, or the object that names a source */
} HeaderItem;

typedef struct HeaderItems
{
	HeaderItem *items;
	int			count;
	int			size;
	Size		bytes;			/* of names and of values as strings */
} HeaderItems;

/* A header's value as a string, if it is of a kind that can be one. */
static void
scalar_to_string(JsonbValue *value)
{
	const char *text;

	if (value->type == jbvBool)
		text = value->val.boolean ? "true" : "false";
	else if (value->type == jbvNumeric)
		text = DatumGetCString(DirectFunctionCall1(numeric_out,
												   NumericGetDatum(value->val.numeric)));
	else
		return;
	json_set_string(value, text, strlen(text));
}

/* Of a template, what is known of the name is its default, which may be none. */
static const char *
name_problem(const char *name, int len)
{
	Template	found;
	const char *variable = name;
	int			variable_len = len;

	if (secret_in_environment(&variable, &variable_len))
		return "a header's value may be in the environment, but not its name";
	if (!dynamic_template(name, len, &found))
		return request_header_name_problem(name, len);
	name = dynamic_fallback(&found);
	return name[0] == '\0' ? NULL : request_header_name_problem(name, strlen(name));
}

/* RudderStack's "env.NAME" is a source of ours. */
static void
source_of_environment(JsonbValue *value)
{
	const char *text;
	int			len;
	JsonbPair	pair;
	JsonbValue	object;
	Jsonb	   *source;

	if (value->type != jbvString)
		return;
	text = value->val.string.val;
	len = value->val.string.len;
	if (!secret_in_environment(&text, &len))
		return;
	json_set_string(&pair.key, "env", 3);
	json_set_string(&pair.value, text, len);
	json_set_object(&object, &pair, 1);
	source = json_write(&object);
	json_set_container(value, &source->root, VARSIZE(source) - VARHDRSZ);
}

/* Check a header and remember it. */
static bool
add_header(HeaderItems *headers, const JsonbValue *name, const JsonbValue *value,
		   FieldProblem *problem)
{
	HeaderItem	item;
	const char *why;
	const char *detail;
	char	   *part;

	item.name = name->val.string.val;
	item.name_len = name->val.string.len;
	part = psprintf("header \"%s\"", encoding_quotable(item.name, item.name_len));

	why = name_problem(item.name, item.name_len);
	if (why != NULL)
		return problem_set_part(problem, "headers", part,
								problem_sentence(why),
								NULL);

	item.value = *value;
	scalar_to_string(&item.value);
	source_of_environment(&item.value);
	if (secret_from_json(&item.value, &detail) == NULL)
		return problem_set_part(problem, "headers", part, detail,
								"Give the value as a JSON string.");
	if (item.value.type == jbvString)
	{
		why = request_header_value_problem(item.value.val.string.val, item.value.val.string.len);
		if (why != NULL)
			return problem_set_part(problem, "headers", part,
									problem_sentence(why),
									NULL);
		headers->bytes += item.value.val.string.len;
	}
	headers->bytes += item.name_len;
	if (headers->bytes > MAX_SET_HEADER_BYTES)
		return problem_set(problem, "headers", NULL,
						   psprintf("Names and values of all headers have more than %d bytes.",
									MAX_SET_HEADER_BYTES),
						   NULL);
	if (headers->count >= MAX_HEADERS)
		return problem_set(problem, "headers", NULL,
						   psprintf("There are more than %d headers.", MAX_HEADERS),
						   NULL);

	for (int i = 0; i < headers->count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (header_names_equal(headers->items[i].name, headers->items[i].name_len,
									   item.name, item.name_len))
			return problem_set_part(problem, "headers", part,
									"The header is given twice; case does not matter in names.",
									"Give each header once.");
	}

	if (headers->count == headers->size)
	{
		headers->size = Max(8, headers->size * 2);
		headers->items = headers->items == NULL ?
			palloc(headers->size * sizeof(HeaderItem)) :
			repalloc(headers->items, headers->size * sizeof(HeaderItem));
	}
	headers->items[headers->count++] = item;
	return true;
}

/*
 * One element of RudderStack's array.  Its user interface leaves an empty
 * pair behind, which means nothing there and nothing here.
 */
static bool
add_header_element(HeaderItems *headers, const JsonbValue *element, int position,
				   FieldProblem *problem)
{
	char	   *part = psprintf("element %d", position);
	JsonbValue	from;
	JsonbValue	to;
	bool		has_to;

	if (element->type != jbvBinary || !JsonContainerIsObject(element->val.binary.data))
		return problem_set_part(problem, "headers", part,
								"The element is not an object.",
								"Give each header as {\"from\": name, \"to\": value}.");
	if (!getKeyJsonValueFromContainer(element->val.binary.data, "from", 4, &from) ||
		from.type != jbvString)
		return problem_set_part(problem, "headers", part,
								"The element has no string \"from\".",
								"Give each header as {\"from\": name, \"to\": value}.");
	has_to = getKeyJsonValueFromContainer(element->val.binary.data, "to", 2, &to) != NULL;

	if (from.val.string.len == 0 &&
		(!has_to || (to.type == jbvString && to.val.string.len == 0)))
		return true;
	if (!has_to)
		to.type = jbvNull;
	return add_header(headers, &from, &to, problem);
}

static Jsonb *
headers_object(const HeaderItems *headers)
{
	JsonbInState state = {0};
	JsonbValue	value;

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	for (int i = 0; i < headers->count; i++)
	{
		value.type = jbvString;
		value.val.string.val = headers->items[i].name;
		value.val.string.len = headers->items[i].name_len;
		pushJsonbValue(&state, WJB_KEY, &value);
		pushJsonbValue(&state, WJB_VALUE, &headers->items[i].value);
	}
	pushJsonbValue(&state, WJB_END_OBJECT, NULL);
	return JsonbValueToJsonb(state.result);
}

/*
 * An object of names to values, or RudderStack's array of {from, to}, becomes
 * an object of names to strings and sources of secrets.
 */
bool
destination_headers_check(Jsonb **headers, FieldProblem *problem)
{
	HeaderItems items = {0};
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue	key = {0};
	JsonbValue	value;
	int			position = 0;

	if (JB_ROOT_IS_SCALAR(*headers))
		return problem_set(problem, "headers", NULL,
						   "The value is neither an object nor an array.",
						   "Use an object such as {\"authorization\": \"Bearer ...\"}.");

	it = JsonbIteratorInit(&(*headers)->root);
	while ((token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
	{
		bool		good = true;

		CHECK_FOR_INTERRUPTS();
		if (token == WJB_KEY)
			key = value;
		else if (token == WJB_VALUE)
			good = add_header(&items, &key, &value, problem);
		else if (token == WJB_ELEM)
			good = add_header_element(&items, &value, ++position, problem);
		if (!good)
			return false;
	}
	*headers = headers_object(&items);
	return true;
}

/* ---------------------------------------------------------------------
 * Signing secrets
 * ---------------------------------------------------------------------
 */

/* A point in time as people write it. */
static bool
parse_time(const JsonbValue *value, TimestampTz *time)
{
	return value->type == jbvString &&
		timestamptz_from_text(pnstrdup(value->val.string.val, value->val.string.len), time) &&
		!TIMESTAMP_NOT_FINITE(*time);
}

/*
 * One element: a secret (a string, or an object that names its source), or an
 * object with it as "secret" and its end as "expires_at".  NULL, or what is
 * wrong.
 */
static const char *
read_signing_secret(const JsonbValue *element, SigningSecret *signing)
{
	JsonbValue	secret = *element;
	JsonbValue	expires_at;
	const char *detail = NULL;
	const char *why;
	int			keys = 1;

	signing->expires_at = DT_NOEND;
	if (json_get(element, "secret", 6, &secret))
	{
		if (json_get(element, "expires_at", 10, &expires_at))
		{
			keys++;
			if (!parse_time(&expires_at, &signing->expires_at))
				return "\"expires_at\" is not a point in time, such as \"2030-01-31T12:00:00Z\".";
		}
		if (JsonContainerSize(element->val.binary.data) != keys)
			return "The object has other keys than \"secret\" and \"expires_at\".";
	}
	signing->secret = secret_from_json(&secret, &detail);
	if (signing->secret == NULL)
		return detail;
	if (signing->secret->source == SECRET_LITERAL)
	{
		why = sign_key_problem(signing->secret->text);
		if (why != NULL)
			return psprintf("The secret cannot sign: %s.", why);
	}
	return NULL;
}

/* In the form that is stored: of no session's time zone and date style. */
static void
push_signing_secret(JsonbInState *state, const SigningSecret *signing)
{
	static const char *const kinds[] = {
		[SECRET_LITERAL] = NULL, [SECRET_ENV] = "env", [SECRET_FILE] = "file"
	};
	const char *kind = kinds[signing->secret->source];
	bool		expires = signing->expires_at != DT_NOEND;
	char		time[MAXDATELEN + 1];
	int			utc = 0;
	JsonbValue	value;

	if (expires)
	{
		pushJsonbValue(state, WJB_BEGIN_OBJECT, NULL);
		json_set_string(&value, "expires_at", 10);
		pushJsonbValue(state, WJB_KEY, &value);
		JsonEncodeDateTime(time, TimestampTzGetDatum(signing->expires_at), TIMESTAMPTZOID, &utc);
		json_set_string(&value, pstrdup(time), strlen(time));
		pushJsonbValue(state, WJB_VALUE, &value);
		json_set_string(&value, "secret", 6);
		pushJsonbValue(state, WJB_KEY, &value);
	}
	if (kind != NULL)
	{
		pushJsonbValue(state, WJB_BEGIN_OBJECT, NULL);
		json_set_string(&value, kind, strlen(kind));
		pushJsonbValue(state, WJB_KEY, &value);
	}
	json_set_string(&value, signing->secret->text, strlen(signing->secret->text));
	pushJsonbValue(state, expires || kind != NULL ? WJB_VALUE : WJB_ELEM, &value);
	if (kind != NULL)
		pushJsonbValue(state, WJB_END_OBJECT, NULL);
	if (expires)
		pushJsonbValue(state, WJB_END_OBJECT, NULL);
}

/* Also brings them into the form that is stored. */
bool
destination_secrets_check(Jsonb **secrets, FieldProblem *problem)
{
	JsonbInState state = {0};
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue	element;
	int			count = 0;

	if (!JB_ROOT_IS_ARRAY(*secrets) || JB_ROOT_IS_SCALAR(*secrets))
		return problem_set(problem, "signing_secrets", NULL,
						   "The value is not an array.",
						   "Use an array such as [\"whsec_...\"].");

	pushJsonbValue(&state, WJB_BEGIN_ARRAY, NULL);
	it = JsonbIteratorInit(&(*secrets)->root);
	while ((token = JsonbIteratorNext(&it, &element, true)) != WJB_DONE)
	{
		SigningSecret signing;
		const char *detail;

		CHECK_FOR_INTERRUPTS();
		if (token != WJB_ELEM)
			continue;
		detail = ++count > MAX_SIGNING_SECRETS ?
			"There are more than 8 of them." : read_signing_secret(&element, &signing);
		if (detail != NULL)
			return problem_set_part(problem, "signing_secrets",
									psprintf("element %d", count), detail,
									"rswebhook_generate_secret() makes one.");
		push_signing_secret(&state, &signing);
	}
	pushJsonbValue(&state, WJB_END_ARRAY, NULL);
	*secrets = JsonbValueToJsonb(state.result);
	return true;
}

void
destination_secrets_read(Jsonb *secrets, SigningSecret **list, int *count)
{
	JsonbIterator *it = JsonbIteratorInit(&secrets->root);
	JsonbIteratorToken token;
	JsonbValue	element;

	*list = palloc0(MAX_SIGNING_SECRETS * sizeof(SigningSecret));
	*count = 0;
	while ((token = JsonbIteratorNext(&it, &element, true)) != WJB_DONE)
	{
		if (token != WJB_ELEM)
			continue;
		if (*count == MAX_SIGNING_SECRETS ||
			read_signing_secret(&element, &(*list)[(*count)++]) != NULL)
			elog(ERROR, "signing_secrets were not checked");
	}
}

/* ---------------------------------------------------------------------
 * Outcomes by status
 * ---------------------------------------------------------------------
 */

/* "409" to 409..409, "4xx" to 400..499 */
static bool
status_range(const char *key, int len, int *first, int *last)
{
	if (len != 3 || key[0] < '1' || key[0] > '9')
		return false;
	*first = (key[0] - '0') * 100;
	if (key[1] == 'x' && key[2] == 'x')
	{
		*last = *first + 99;
		return true;
	}
	if (!ascii_is_digit(key[1]) || !ascii_is_digit(key[2]))
		return false;
	*first += (key[1] - '0') * 10 + (key[2] - '0');
	*last = *first;
	return true;
}

static bool
read_outcome(const JsonbValue *value, VerdictKind *outcome)
{
	return value->type == jbvString &&
		tables_outcome_by_name(pnstrdup(value->val.string.val, value->val.string.len), outcome);
}

bool
destination_outcomes_check(Jsonb *map, FieldProblem *problem)
{
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue	key = {0};
	JsonbValue	value;

	if (!JB_ROOT_IS_OBJECT(map))
		return problem_set(problem, "status_outcomes", NULL,
						   "The value is not an object.",
						   "Use an object such as {\"409\": \"delivered\"}.");

	it = JsonbIteratorInit(&map->root);
	while ((token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
	{
		int			first;
		int			last;
		VerdictKind outcome;

		CHECK_FOR_INTERRUPTS();
		if (token == WJB_KEY)
		{
			key = value;
			if (!status_range(key.val.string.val, key.val.string.len, &first, &last))
				return problem_set_part(problem, "status_outcomes",
										psprintf("key \"%s\"", encoding_quotable(key.val.string.val, key.val.string.len)),
										"The key is not an HTTP status.",
										"Use a status such as \"409\", or a class such as \"4xx\".");
		}
		else if (token == WJB_VALUE && !read_outcome(&value, &outcome))
			return problem_set_part(problem, "status_outcomes",
									psprintf("outcome of \"%.*s\"", key.val.string.len, key.val.string.val),
									"There is no such outcome.",
									"Use \"delivered\", \"retry\", \"aborted\" or \"pause\".");
	}
	return true;
}

/*
 * A single status says more than its class, so classes are filled in first.
 */
void
destination_outcomes_read(Jsonb *map, StatusOutcome **list, int *count)
{
	int			by_status[MAX_STATUS + 1];
	int			n = 0;

	for (int status = 0; status <= MAX_STATUS; status++)
		by_status[status] = -1;

	for (int singles = 0; singles <= 1; singles++)
	{
		JsonbIterator *it = JsonbIteratorInit(&map->root);
		JsonbIteratorToken token;
		JsonbValue	value;
		VerdictKind outcome;
		int			first = 1;
		int			last = 0;

		while ((token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
		{
			if (token == WJB_KEY &&
				!status_range(value.val.string.val, value.val.string.len, &first, &last))
				elog(ERROR, "status_outcomes were not checked");
			if (token == WJB_VALUE && (first == last) == (singles == 1))
			{
				if (!read_outcome(&value, &outcome))
					elog(ERROR, "status_outcomes were not checked");
				for (int status = first; status <= last; status++)
					by_status[status] = outcome;
			}
		}
	}

	*list = palloc((MAX_STATUS + 1) * sizeof(StatusOutcome));
	for (int status = 0; status <= MAX_STATUS; status++)
	{
		if (by_status[status] < 0)
			continue;
		(*list)[n].status = status;
		(*list)[n].outcome = by_status[status];
		n++;
	}
	*count = n;
}
