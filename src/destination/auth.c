/*-------------------------------------------------------------------------
 *
 * auth.c
 *		Authentication of a destination by a header that is made for it.
 *
 * As RudderStack's HTTP destination has it: user name and password, a bearer
 * token, or a key in a header of its own.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "base/base64.h"
#include "base/encoding.h"
#include "destination/auth.h"
#include "destination/fields.h"
#include "destination/problem.h"
#include "destination/secret.h"
#include "destination/values.h"
#include "http/ascii.h"
#include "transform/dynamic.h"
#include "transform/header.h"
#include "transform/json.h"
#include "transform/request.h"

/* Which columns a type needs, takes, or has no use for. */
typedef enum Need
{
	UNUSED,
	OPTIONAL,
	NEEDED
} Need;

#define AUTH_COLUMNS 4

static const char *const columns[AUTH_COLUMNS] = {
	"auth_username", "auth_password", "auth_token", "auth_header"
};

static const bool is_secret[AUTH_COLUMNS] = {false, true, true, false};

static const struct
{
	const char *name;
	Need		needs[AUTH_COLUMNS];
	const char *header;			/* NULL: auth_header has it */
}			types[] =
{
	[AUTH_NONE] = {"none", {UNUSED, UNUSED, UNUSED, UNUSED}, NULL},
	[AUTH_BASIC] = {"basic", {NEEDED, OPTIONAL, UNUSED, UNUSED}, "authorization"},
	[AUTH_BEARER] = {"bearer", {UNUSED, UNUSED, NEEDED, UNUSED}, "authorization"},
	[AUTH_API_KEY] = {"api_key", {UNUSED, UNUSED, NEEDED, NEEDED}, NULL},
};

static bool
type_by_name(const char *name, AuthType *type)
{
	for (int i = 0; i < lengthof(types); i++)
	{
		if (strcmp(types[i].name, name) == 0)
		{
			*type = (AuthType) i;
			return true;
		}
	}
	return false;
}

/* A secret of a header: what is in the row itself must be fit for one. */
static bool
check_secret(const char *column, const char *text, FieldProblem *problem)
{
	const char *detail = NULL;
	const Secret *secret = secret_from_text(text, &detail);

	if (secret == NULL)
		return problem_set(problem, column, NULL, detail, NULL);
	if (secret->source == SECRET_LITERAL)
		detail = request_header_value_problem(text, strlen(text));
	return detail == NULL || problem_set(problem, column, NULL, problem_sentence(detail), NULL);
}

/*
 * What an event or the environment has to say of these columns: a secret may be in the
 * environment, and a whole header a template.
 */
static bool
check_late(const char *column, const char *text, bool is_secret, FieldProblem *problem)
{
	Template	found;
	const char *variable = text;
	int			len = strlen(text);

	if (dynamic_template(text, len, &found))
		return problem_set(problem, column, NULL, "Templates are not resolved here.",
						   "Put the whole header into headers, where its value may be one, and set auth_type to \"none\".");
	if (!is_secret && secret_in_environment(&variable, &len))
		return problem_set(problem, column, NULL, "It is not read from the environment.",
						   "Only auth_password, auth_token and values in headers are: put the text itself here.");
	return true;
}

static bool
check_columns(AuthType type, const char *const *values, FieldProblem *problem)
{
	for (int i = 0; i < AUTH_COLUMNS; i++)
	{
		Need		need = types[type].needs[i];
		bool		given = values[i] != NULL;

		if (given && need == UNUSED)
			return problem_set(problem, columns[i], NULL,
							   psprintf("It has no meaning with auth_type \"%s\".", types[type].name),
							   "Set auth_type to \"basic\", \"bearer\" or \"api_key\", or the column to null.");
		if (need == NEEDED && (!given || values[i][0] == '\0'))
			return problem_set(problem, columns[i], NULL,
							   psprintf("auth_type \"%s\" needs it, and it is empty.", types[type].name),
							   NULL);
		if (given && !check_late(columns[i], values[i], is_secret[i], problem))
			return false;
	}
	return true;
}

/* A header cannot be given here and in the column headers. */
static bool
check_twice(const DestinationAuth *auth, Jsonb *headers, FieldProblem *problem)
{
	JsonbIterator *it = JsonbIteratorInit(&headers->root);
	JsonbIteratorToken token;
	JsonbValue	key;

	while ((token = JsonbIteratorNext(&it, &key, true)) != WJB_DONE)
	{
		if (token == WJB_KEY &&
			header_names_equal(key.val.string.val, key.val.string.len,
									   auth->header, strlen(auth->header)))
			return problem_set_part(problem, "headers",
									psprintf("header \"%s\"", encoding_quotable(auth->header, strlen(auth->header))),
									"auth_type sets this header.",
									"Remove it from headers, or set auth_type to \"none\".");
	}
	return true;
}

bool
auth_check(const DestinationFields *fields, FieldProblem *problem)
{
	const char *values[AUTH_COLUMNS] = {
		fields->auth_username, fields->auth_password,
		fields->auth_token, fields->auth_header
	};
	DestinationAuth auth;
	const char *why;

	if (fields->auth_type == NULL)
		return true;
	if (!type_by_name(fields->auth_type, &auth.type))
		return problem_set(problem, "auth_type", fields->auth_type,
						   "There is no such type of authentication.",
						   "Use \"none\", \"basic\", \"bearer\" or \"api_key\".");
	if (!check_columns(auth.type, values, problem))
		return false;

	if (fields->auth_username != NULL)
	{
		why = request_header_value_problem(fields->auth_username, strlen(fields->auth_username));
		if (why != NULL)
			return problem_set(problem, "auth_username", NULL, problem_sentence(why), NULL);
		if (strchr(fields->auth_username, ':') != NULL)
			return problem_set(problem, "auth_username", NULL,
							   "A user name has no colon in it, since that is where the password begins.",
							   NULL);
	}
	if (fields->auth_header != NULL)
	{
		why = request_header_name_problem(fields->auth_header, strlen(fields->auth_header));
		if (why != NULL)
			return problem_set(problem, "auth_header", fields->auth_header, problem_sentence(why), NULL);
	}
	if (fields->auth_password && !check_secret("auth_password", fields->auth_password, problem))
		return false;
	if (fields->auth_token && !check_secret("auth_token", fields->auth_token, problem))
		return false;

	auth_read(fields, &auth);
	return auth.header == NULL || fields->headers == NULL ||
		check_twice(&auth, fields->headers, problem);
}

void
auth_read(const DestinationFields *fields, DestinationAuth *auth)
{
	const char *secret = fields->auth_password ? fields->auth_password : fields->auth_token;
	const char *problem;

	memset(auth, 0, sizeof(*auth));
	if (fields->auth_type == NULL || !type_by_name(fields->auth_type, &auth->type) ||
		auth->type == AUTH_NONE)
		return;
	auth->username = fields->auth_username;
	auth->secret = secret_from_text(secret ? secret : "", &problem);
	auth->header = pstrdup(types[auth->type].header ? types[auth->type].header : fields->auth_header);
}

/* The user's name and password are UTF-8 inside of the base64. */
static char *
basic_value(const char *username, const char *password)
{
	const char *pair = psprintf("%s:%s", username, password);
	int			len = strlen(pair);

	if (!encoding_to_utf8(&pair, &len))
		return NULL;
	return psprintf("Basic %s", base64_encode(pair, len));
}

char *
auth_header_value(const DestinationAuth *auth, const char *secret)
{
	switch (auth->type)
	{
		case AUTH_BASIC:
			return basic_value(auth->username, secret);
		case AUTH_BEARER:
			return psprintf("Bearer %s", secret);
		case AUTH_API_KEY:
			return pstrdup(secret);
		case AUTH_NONE:
			break;
	}
	return NULL;
}

/* Does the text begin with the word, whatever its case? */
static bool
has_at(const char *text, int len, const char *word)
{
	for (int i = 0; word[i] != '\0'; i++)
	{
		if (i == len || ascii_lower(text[i]) != word[i])
			return false;
	}
	return true;
}

/*
 * There is no list of all such headers, but they are named after what they
 * are.  One that is taken for one without being one does little harm, since
 * an event can still set what the destination does not.
 */
bool
auth_is_header(const DestinationAuth *auth, const char *name, int len)
{
	/* by their first letter, of either case */
	static const char *const words[32][4] = {
		['a' & 31] = {"auth"},
		['c' & 31] = {"cookie", "credential"},
		['h' & 31] = {"hmac"},
		['j' & 31] = {"jwt"},
		['k' & 31] = {"key"},
		['p' & 31] = {"pass"},
		['s' & 31] = {"secret", "session", "sig"},
		['t' & 31] = {"token"}
	};

	if (auth->header != NULL &&
		header_names_equal(name, len, auth->header, strlen(auth->header)))
		return true;
	for (int at = 0; at < len; at++)
	{
		for (const char *const *word = words[name[at] & 31]; *word != NULL; word++)
		{
			if (has_at(name + at, len - at, *word))
				return true;
		}
	}
	return false;
}
