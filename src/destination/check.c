/*-------------------------------------------------------------------------
 *
 * check.c
 *		What the columns of rswebhook.destination may hold.
 *
 * The rules are here once: triggers.c turns a problem into an error, row.c into
 * a destination that cannot be used.
 *
 * A problem never quotes what may be secret: header values, certificates,
 * keys, a proxy, or a URL that has more than a path.  That is also why the
 * trigger looks at nulls and ranges, which constraints of the table guard as
 * well: the error of a constraint quotes the whole row, into the log, too.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "nodes/value.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "base/encoding.h"
#include "destination/auth.h"
#include "destination/check.h"
#include "destination/check_json.h"
#include "destination/check_mapping.h"
#include "destination/consent.h"
#include "destination/fields.h"
#include "destination/filter_path.h"
#include "destination/problem.h"
#include "destination/secret.h"
#include "destination/values.h"
#include "http/proxy.h"
#include "shmem/share.h"
#include "transform/config.h"
#include "transform/dynamic.h"
#include "transform/request.h"
#include "transform/url.h"

/* Intervals in microseconds. */
#define MS		1e3
#define SECOND	1e6
#define HOUR	(3600 * SECOND)
#define DAY		(24 * HOUR)

/* Elements of an array. */
#define MAX_NAMES	1000

/* The same as the table's CHECK constraints. */
static const struct
{
	const char *column;
	double		min;
	double		max;
	const char *allowed;
	const char *hint;
}			ranges[] =
{
	{"max_in_flight", 1, 10000, "from 1 to 10000", NULL},
	{"rate_limit", 1e-6, 1e6, "from 0.000001 to 1000000", "Null stands for no limit."},
	{"workers", 1, MAX_SHARES, "from 1 to 32 and at most max_in_flight", "Each has one request in flight at least; for more of them, raise max_in_flight."},
	{"connect_timeout", 1 * MS, 1 * HOUR, "from 1 ms to 1 h", NULL},
	{"timeout", 1 * MS, 1 * HOUR, "from 1 ms to 1 h", NULL},
	{"low_speed_limit", 0, PG_INT32_MAX, "0 or more", NULL},
	{"low_speed_time", 1 * SECOND, 1 * HOUR, "from 1 s to 1 h", NULL},
	{"max_redirects", 0, 5, "from 0 to 5", NULL},
	{"min_backoff", 1 * MS, 1 * DAY, "from 1 ms to 1 day", NULL},
	{"max_backoff", 1 * MS, 7 * DAY, "from min_backoff to 7 days", NULL},
	{"retry_after_factor", 0, 1000, "from 0 to 1000", NULL},
	{"retry_window", 0, MAX_WINDOW_US, "from 0 to 365 days", NULL},
	{"min_attempts", 1, 10000, "from 1 to 10000", NULL},
	{"breaker_failures", 0, PG_INT32_MAX, "0 or more", NULL},
	{"deduplicate", 1, MAX_WINDOW_US, "greater than 0 and at most 365 days", "Null stands for not at all."},
	{"expires_after", 1, MAX_LIFETIME_US, "greater than 0 and at most 36500 days", "Null stands for never."},
	{"disable_after", 1, MAX_WINDOW_US, "greater than 0 and at most 365 days", "Null stands for never."},
};

static bool
has_control_character(const char *text)
{
	for (; *text; text++)
	{
		if ((unsigned char) *text < 0x20 || *text == 0x7f)
			return true;
	}
	return false;
}

static bool
check_name(const char *name, FieldProblem *problem)
{
	int			len = strlen(name);
	const char *detail = NULL;

	if (len == 0)
		detail = "A name has at least one character.";
	else if (name[0] == ' ' || name[len - 1] == ' ')
		detail = "A name neither starts nor ends with a space.";
	else if (has_control_character(name))
		detail = "A name has no control characters.";
	else if (config_method(name) != NULL)
		detail = "The names of methods stand for requests without a destination.";

	if (detail == NULL)
		return true;
	return problem_set(problem, "name", name, detail, "Choose another name.");
}

/* Put a text with hosts in the place of one that has others. */
static void
replace_hosts(char **text, const char *settled, DestinationFields *fields)
{
	if (settled == *text)
		return;
	*text = unconstify(char *, settled);
	fields->hosts_changed = true;
}

char *
destination_origin(const char *url)
{
	Template	found;
	const char *fallback;

	if (!dynamic_template(url, strlen(url), &found))
		return pstrdup(url);
	fallback = dynamic_fallback(&found);
	if (fallback[0] == '\0')
		return NULL;
	(void) url_problem(&fallback);	/* its host becomes ASCII */
	return unconstify(char *, fallback);
}

/* An event may make anything of it: where that may be must be said. */
static bool
check_template_url(const DestinationFields *fields, const Template *found, FieldProblem *problem)
{
	const char *fallback = dynamic_fallback(found);
	const char *why;

	if (fields->allowed_hosts == NULL ||
		ArrayGetNItems(ARR_NDIM(fields->allowed_hosts), ARR_DIMS(fields->allowed_hosts)) == 0)
		return problem_set(problem, "url", NULL,
						   "A template may become the URL of any host.",
						   "Put the hosts that it may lead to into allowed_hosts.");
	why = fallback[0] == '\0' ? NULL : url_problem(&fallback);
	return why == NULL ||
		problem_set(problem, "url", NULL, psprintf("The template's default cannot be used: %s", problem_sentence(why)),
					"Use a default such as \"https://example.com/hooks\", or none.");
}

/*
 * Has what is in the place of a URL neither a user, of whom the rest may be missing, nor a query, and
 * is it no JSON?  A colon, but for the scheme's, is that of a port.
 */
static bool
is_plain_url(const char *url)
{
	const char *scheme = strstr(url, "://");
	const char *host = scheme != NULL ? scheme + strlen("://") : url;
	const char *colon = strchr(host, ':');

	if (strpbrk(url, "@?#%\"") != NULL)
		return false;
	return colon == NULL || colon[1 + strspn(colon + 1, "0123456789")] == '\0' ||
		colon[1 + strspn(colon + 1, "0123456789")] == '/';
}

static bool
check_url(DestinationFields *fields, FieldProblem *problem)
{
	const char *url = fields->url;
	const char *settled = url;
	const char *why;
	Template	found;

	if (dynamic_template(url, strlen(url), &found))
		return check_template_url(fields, &found, problem);
	why = url_problem(&settled);
	replace_hosts(&fields->url, settled, fields);
	if (why == NULL)
		return true;
	return problem_set(problem, "url", is_plain_url(url) ? url : NULL,
					   problem_sentence(why),
					   "Use a URL such as \"https://example.com/hooks\".");
}

static bool
check_method(const char *method, FieldProblem *problem)
{
	const char *meant;
	Template	found;

	if (dynamic_template(method, strlen(method), &found))
	{
		method = dynamic_fallback(&found);
		if (method[0] == '\0')
			return true;
	}
	meant = config_method(method);
	if (meant == NULL)
		return problem_set(problem, "method", method,
						   "There is no such method.",
						   "Use " METHODS_IN_WORDS ".");
	if (strcmp(meant, method) != 0)
		return problem_set(problem, "method", method,
						   "Methods are written in upper case.",
						   psprintf("Use %s.", meant));
	return true;
}

/* A list of text that is compared with what events say, one by one. */
bool
destination_names_check(const char *column, ArrayType *names, FieldProblem *problem)
{
	if (ARR_NDIM(names) > 1)
		return problem_set(problem, column, NULL,
						   "The array has more than one dimension.",
						   "Use a plain list.");
	if (ArrayGetNItems(ARR_NDIM(names), ARR_DIMS(names)) > MAX_NAMES)
		return problem_set(problem, column, NULL,
						   psprintf("The array has more than %d elements.", MAX_NAMES),
						   NULL);
	if (array_contains_nulls(names))
		return problem_set(problem, column, NULL,
						   "The array has a null element.",
						   "Take it out, or use a null instead of the array.");
	return true;
}

/* Where a secret is; *elsewhere if that is not in the row. */
static bool
check_source(const char *column, const char *text, bool *elsewhere, FieldProblem *problem)
{
	const char *detail = NULL;
	const Secret *secret = secret_from_text(text, &detail);

	if (secret == NULL)
		return problem_set(problem, column, NULL, detail, NULL);
	*elsewhere = secret->source != SECRET_LITERAL;
	return true;
}

static bool
check_hosts(DestinationFields *fields, FieldProblem *problem)
{
	Datum	   *elements;
	int			count;
	bool		changed = false;

	if (!destination_names_check("allowed_hosts", fields->allowed_hosts, problem))
		return false;
	deconstruct_array(fields->allowed_hosts, TEXTOID, -1, false, TYPALIGN_INT, &elements, NULL, &count);
	for (int i = 0; i < count; i++)
	{
		const char *host = TextDatumGetCString(elements[i]);
		const char *settled = host;

		CHECK_FOR_INTERRUPTS();
		/* not quoted: it may be a URL with a password */
		if (url_host_problem(&settled) != NULL)
			return problem_set(problem, "allowed_hosts", NULL,
							   psprintf("Element %d is not a host, or a host and a port.", i + 1),
							   "Use hosts such as \"example.com\" or \"example.com:8443\".");
		if (settled == host)
			continue;
		elements[i] = CStringGetTextDatum(settled);
		changed = true;
	}
	if (changed)
	{
		fields->allowed_hosts = construct_array(elements, count, TEXTOID, -1, false, TYPALIGN_INT);
		fields->hosts_changed = true;
	}
	return true;
}

static bool
check_no_proxy(DestinationFields *fields, FieldProblem *problem)
{
	const char *settled = fields->no_proxy;
	const char *why = url_host_list_problem(&settled);

	replace_hosts(&fields->no_proxy, settled, fields);
	return why == NULL ||
		problem_set(problem, "no_proxy", NULL, problem_sentence(why),
					"Use a list such as \"example.com, .example.net, 10.0.0.0/8\".");
}

/* What is in front of the host may be a password. */
static const char *
settle_proxy(char **proxy, char *rest)
{
	int			len = strcspn(rest, "/?#");
	char	   *host = pnstrdup(rest, len);
	char	   *at = strrchr(host, '@');
	const char *settled;
	const char *problem;

	if (at != NULL)
		host = at + 1;
	/* libcurl decodes what is encoded in it, and converts that */
	if (encoding_is_ascii(host, strlen(host)) && (host[0] == '[' || strchr(host, '%') == NULL))
		return NULL;
	settled = host;
	problem = url_host_problem(&settled);
	if (problem != NULL)
		return problem_sentence(problem);
	*proxy = psprintf("%.*s%s%s", (int) (rest + len - strlen(host) - *proxy), *proxy,
					  settled, rest + len);
	return NULL;
}

const char *
destination_proxy_problem(char **proxy_text, const char **hint)
{
	char	   *proxy = *proxy_text;
	static const char *const schemes[] = {
		"http://", "https://", "socks4://", "socks4a://", "socks5://", "socks5h://"
	};
	char	   *rest = NULL;
	const char *problem;

	for (int i = 0; i < lengthof(schemes); i++)
	{
		if (pg_strncasecmp(proxy, schemes[i], strlen(schemes[i])) == 0)
			rest = proxy + strlen(schemes[i]);
	}
	if (rest == NULL)
	{
		*hint = "Use http://, https://, socks4://, socks4a://, socks5:// or socks5h://.";
		return "The proxy does not start with the scheme of one.";
	}
	*hint = "Use a URL such as \"http://proxy.example.com:3128\".";
	if (*rest == '\0' || *rest == '/' || strchr(proxy, ' ') || has_control_character(proxy))
		return "The proxy's URL has no host, or a space or control character.";
	problem = settle_proxy(proxy_text, rest);
	if (problem == NULL)
		problem = proxy_problem(*proxy_text);
	if (problem != NULL && strchr(rest, '@') != NULL)
		*hint = "Use a URL such as \"http://user:password@proxy.example.com:3128\", and in the user and the password %2F for \"/\", %3F for \"?\", %23 for \"#\", %40 for \"@\" and %25 for \"%\".";
	return problem;
}

static bool
check_proxy(DestinationFields *fields, FieldProblem *problem)
{
	char	   *settled = fields->proxy;
	const char *hint;
	const char *detail;
	bool		elsewhere = false;

	if (!check_source("proxy", fields->proxy, &elsewhere, problem))
		return false;
	detail = elsewhere ? NULL : destination_proxy_problem(&settled, &hint);
	replace_hosts(&fields->proxy, settled, fields);
	return detail == NULL || problem_set(problem, "proxy", NULL, detail, hint);
}

const char *
destination_pem_problem(const char *pem, bool is_key, const char **hint)
{
	const char *begin = strstr(pem, "-----BEGIN ");
	const char *kind = is_key ? "PRIVATE KEY-----" : "CERTIFICATE-----";

	*hint = "Give the text of the file, not its name.";
	if (begin == NULL || strstr(begin, kind) == NULL || strstr(begin, "-----END ") == NULL)
		return is_key ? "The value is not a private key in PEM form." :
			"The value is not a certificate in PEM form.";
	*hint = "Store the key without a passphrase.";
	if (is_key && strstr(begin, "ENCRYPTED") != NULL)
		return "The private key is encrypted.";
	return NULL;
}

static bool
check_pem(const char *column, const char *pem, bool is_key, FieldProblem *problem)
{
	const char *hint;
	const char *detail;
	bool		elsewhere = false;

	if (!check_source(column, pem, &elsewhere, problem))
		return false;
	detail = elsewhere ? NULL : destination_pem_problem(pem, is_key, &hint);
	return detail == NULL || problem_set(problem, column, NULL, detail, hint);
}

static bool
check_tls(const DestinationFields *fields, FieldProblem *problem)
{
	if (fields->ca_cert && !check_pem("ca_cert", fields->ca_cert, false, problem))
		return false;
	if (fields->client_cert && !check_pem("client_cert", fields->client_cert, false, problem))
		return false;
	if (fields->client_key && !check_pem("client_key", fields->client_key, true, problem))
		return false;

	if ((fields->client_cert == NULL) != (fields->client_key == NULL))
		return problem_set(problem, fields->client_cert ? "client_key" : "client_cert", NULL,
						   "A client certificate and its key are of use only together.",
						   "Set both client_cert and client_key, or neither.");
	return true;
}

/* In UTF-8, to which a character takes three times as much at the most. */
static Size
bytes_on_the_wire(const char *text, int len)
{
	if (GetDatabaseEncoding() == PG_UTF8 || encoding_is_ascii(text, len))
		return len;
	return (Size) len * 3;
}

/* Of header_mapping, what is known: the names, and values that are literals. */
static Size
mapped_header_bytes(Jsonb *list)
{
	JsonbIterator *it = JsonbIteratorInit(&list->root);
	JsonbIteratorToken token;
	JsonbValue	value;
	bool		is_from = false;
	Size		bytes = 0;

	while ((token = JsonbIteratorNext(&it, &value, false)) != WJB_DONE)
	{
		if (token == WJB_KEY)
			is_from = value.val.string.len == 4 && memcmp(value.val.string.val, "from", 4) == 0;
		else if (token == WJB_VALUE && value.type == jbvString && (!is_from || mapping_is_literal(&value)))
			bytes += bytes_on_the_wire(value.val.string.val, value.val.string.len);
	}
	return bytes;
}

/* Headers that no request could carry, with what each request has besides. */
static bool
check_header_bytes(const DestinationFields *fields, FieldProblem *problem)
{
	DestinationAuth auth;
	const char *text;
	Size		bytes = 0;
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue	value;

	auth_read(fields, &auth);
	if (auth.header != NULL)
	{
		bytes += strlen(auth.header);
		if (auth.secret->source == SECRET_LITERAL &&
			(text = auth_header_value(&auth, auth.secret->text)) != NULL)
			bytes += bytes_on_the_wire(text, strlen(text));
	}
	if (fields->headers != NULL)
	{
		it = JsonbIteratorInit(&fields->headers->root);
		while ((token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
		{
			if ((token == WJB_KEY || token == WJB_VALUE) && value.type == jbvString)
				bytes += bytes_on_the_wire(value.val.string.val, value.val.string.len);
		}
	}
	if (fields->mapping[MAPPING_HEADERS] != NULL)
		bytes += mapped_header_bytes(fields->mapping[MAPPING_HEADERS]);
	if (bytes <= MAX_SET_HEADER_BYTES)
		return true;
	return problem_set(problem, "headers", NULL,
					   psprintf("Names and values of all headers, with the one that auth_type makes and those of header_mapping, have %zu bytes; at most %d are allowed.",
								bytes, MAX_SET_HEADER_BYTES),
					   NULL);
}

/* True if the row can be used. */
bool
destination_fields_check(HeapTuple tuple, TupleDesc desc, DestinationFields *fields,
						 FieldProblem *problem)
{
	destination_fields_read(tuple, desc, fields);
	return
		destination_sizes_check(tuple, desc, problem) &&
		(fields->name == NULL || check_name(fields->name, problem)) &&
		(fields->url == NULL || check_url(fields, problem)) &&
		(fields->method == NULL || check_method(fields->method, problem)) &&
		(fields->headers == NULL || destination_headers_check(&fields->headers, problem)) &&
		(fields->types == NULL || destination_names_check("types", fields->types, problem)) &&
		(fields->events == NULL || destination_names_check("events", fields->events, problem)) &&
		(fields->excluded_events == NULL ||
		 destination_names_check("excluded_events", fields->excluded_events, problem)) &&
		(fields->filter == NULL || destination_path_check(fields->filter, problem)) &&
		(fields->consent == NULL || destination_consent_check(fields->consent, problem)) &&
		(fields->proxy == NULL || check_proxy(fields, problem)) &&
		(fields->no_proxy == NULL || check_no_proxy(fields, problem)) &&
		check_tls(fields, problem) &&
		auth_check(fields, problem) &&
		check_header_bytes(fields, problem) &&
		destination_mappings_check(fields, problem) &&
		(fields->allowed_hosts == NULL || check_hosts(fields, problem)) &&
		(fields->signing_secrets == NULL ||
		 destination_secrets_check(&fields->signing_secrets, problem)) &&
		(fields->status_outcomes == NULL ||
		 destination_outcomes_check(fields->status_outcomes, problem));
}

/* The value of a column of any of the numeric types in use here. */
static bool
column_number(HeapTuple tuple, TupleDesc desc, const char *column, double *number)
{
	int			attnum = fields_number(desc, column);
	Datum		value;
	bool		isnull;

	value = SPI_getbinval(tuple, desc, attnum, &isnull);
	if (isnull)
		return false;
	switch (SPI_gettypeid(desc, attnum))
	{
		case INT4OID:
			*number = DatumGetInt32(value);
			return true;
		case FLOAT4OID:
			*number = DatumGetFloat4(value);
			return true;
		case FLOAT8OID:
			*number = DatumGetFloat8(value);
			return true;
		case INTERVALOID:
			*number = fields_interval_us(DatumGetIntervalP(value));
			return true;
		default:
			return false;
	}
}

/*
 * A number, or an interval in microseconds, of a row that may have come past the
 * checks: brought into its range, so that it can be computed with.  0: null.
 */
double
destination_number(HeapTuple tuple, TupleDesc desc, const char *column)
{
	double		number;

	if (!column_number(tuple, desc, column, &number))
		return 0;
	for (int i = 0; i < lengthof(ranges); i++)
	{
		if (strcmp(ranges[i].column, column) == 0)
			return number >= ranges[i].min ? Min(number, ranges[i].max) : ranges[i].min;
	}
	elog(ERROR, "column \"%s\" has no range", column);
}

/* True if all numbers and intervals are such as the worker can deal with. */
bool
destination_ranges_check(HeapTuple tuple, TupleDesc desc, FieldProblem *problem)
{
	double		min_backoff = 0;
	double		max_in_flight = 0;
	double		number;

	column_number(tuple, desc, "min_backoff", &min_backoff);
	column_number(tuple, desc, "max_in_flight", &max_in_flight);
	for (int i = 0; i < lengthof(ranges); i++)
	{
		double		min = ranges[i].min;
		double		max = ranges[i].max;

		if (!column_number(tuple, desc, ranges[i].column, &number))
			continue;
		if (strcmp(ranges[i].column, "max_backoff") == 0)
			min = min_backoff;
		if (strcmp(ranges[i].column, "workers") == 0)
			max = Min(max, max_in_flight);

		/* so that NaN is refused as well */
		if (number >= min && number <= max)
			continue;
		return problem_set(problem, ranges[i].column,
						   SPI_getvalue(tuple, desc, fields_number(desc, ranges[i].column)),
						   psprintf("The value must be %s.", ranges[i].allowed),
						   ranges[i].hint);
	}
	return true;
}
