/*-------------------------------------------------------------------------
 *
 * url.c
 *		Which URLs can be sent to, and the final URL with its query.
 *
 * The query is the endpoint's own one together with the params, sorted by the
 * bytes of the keys and encoded as forms are.  An endpoint is taken as it was
 * meant where it can be: characters that may not stand in a path are encoded,
 * and a percent sign that begins no code stands for itself.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"

#include "base/encoding.h"
#include "http/ascii.h"
#include "http/host.h"
#include "transform/json.h"
#include "transform/url.h"
#include "transform/values.h"

#define MAX_CONFIG_URL	8192
#define MAX_WIRE_URL	65536

#define BAD_PORT	"the URL's port is not a number from 1 to 65535"
#define TOO_LONG	"the URL with its params would be longer than 65536 bytes"
#define CONFIG_TOO_LONG "the URL is longer than 8192 bytes"
#define NO_UTF8		"the URL is not valid UTF-8"
#define BAD_CHARACTER "the URL's host has a character that is not allowed in one"

/* Where the parts of a URL lie. */
typedef struct UrlParts
{
	bool		https;
	const char *authority;
	int			authority_len;
	const char *host;			/* a name, or an address with its brackets */
	int			host_len;
	int			port;			/* the scheme's own if there is none */
	const char *path;			/* empty, or begins with a slash */
	int			path_len;
	const char *query;
	int			query_len;
} UrlParts;

/* A decoded pair of a query. */
typedef struct QueryPair
{
	const char *key;
	int			key_len;
	const char *value;
	int			value_len;
	bool		own;			/* from the endpoint; shown without its value ... */
	bool		keyed;			/* ... or, without '=', not at all */
	int			position;
} QueryPair;

/* ---------------------------------------------------------------------
 * What may be sent to
 * ---------------------------------------------------------------------
 */

/* To follow "the host". */
static const char *
name_problem(const char *name, int len, char ascii[HOST_SIZE])
{
	const char *problem;

	if (!encoding_to_utf8(&name, &len))
		return "is not valid UTF-8";
	problem = host_to_ascii(name, len, ascii);
	if (problem == host_no_memory)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory"),
				 errdetail("There was none to convert a host's name.")));
	return problem;
}

/* *ascii: of a name. */
static const char *
host_problem(const char *host, int len, char ascii[HOST_SIZE])
{
	const char *problem;

	if (len == 0)
		return "the URL has no host";
	if (host[0] != '[')
	{
		problem = name_problem(host, len, ascii);
		return problem != NULL ? psprintf("the URL's host %s", problem) : NULL;
	}
	if (len < 4 || host[len - 1] != ']')
		return "the URL's IPv6 address is not complete";
	for (int i = 1; i < len - 1; i++)
	{
		if (ascii_hex_value(host[i]) < 0 && host[i] != ':' && host[i] != '.')
			return BAD_CHARACTER;
	}
	return NULL;
}

/* The text with a name in it, which lies at host, in ASCII; not all is ASCII now. */
static void
replace_name(const char **text, int *len, const char *host, int host_len, const char *ascii)
{
	int			before = host - *text;
	int			behind = *len - before - host_len;

	*text = psprintf("%.*s%s%.*s", before, *text, ascii, behind, host + host_len);
	*len = before + strlen(ascii) + behind;
}

/*
 * host or [address], with or without a port: NULL with the parts set, or what
 * is wrong with it, apart from the host.
 */
static const char *
find_host(const char *authority, int len, UrlParts *parts)
{
	const char *host_end;
	const char *end = authority + len;
	int			port = parts->https ? 443 : 80;

	if (memchr(authority, '@', len) != NULL)
		return "the URL has a user name or password in it; use a header instead";

	if (len > 0 && authority[0] == '[')
	{
		host_end = memchr(authority, ']', len);
		host_end = host_end != NULL ? host_end + 1 : end;
	}
	else
	{
		host_end = memchr(authority, ':', len);
		if (host_end == NULL)
			host_end = end;
	}

	if (host_end < end)
	{
		port = 0;
		for (const char *c = host_end + 1; c < end && port <= 65535; c++)
		{
			if (*c < '0' || *c > '9')
				return BAD_PORT;
			port = port * 10 + (*c - '0');
		}
		if (*host_end != ':' || port < 1 || port > 65535)
			return BAD_PORT;
	}
	parts->host = authority;
	parts->host_len = host_end - authority;
	parts->port = port;
	return NULL;
}

/* Find the parts; NULL or what is wrong with the URL, apart from its host. */
static const char *
find_parts(const char *url, int len, UrlParts *parts)
{
	const char *end = url + len;
	const char *at = url;
	const char *stop;

	for (int i = 0; i < len; i++)
	{
		if ((unsigned char) url[i] < ' ' || url[i] == 0x7F)
			return "the URL has a control character";
	}

	parts->https = len >= 8 && ascii_begin_same(url, "https://", 8);
	if (parts->https)
		at += 8;
	else if (len >= 7 && ascii_begin_same(url, "http://", 7))
		at += 7;
	else
		return "the URL does not begin with http:// or https://";

	/* the fragment never leaves the client */
	stop = memchr(at, '#', end - at);
	if (stop != NULL)
		end = stop;

	parts->query = memchr(at, '?', end - at);
	parts->query_len = parts->query != NULL ? end - parts->query - 1 : 0;
	if (parts->query != NULL)
		end = parts->query++;

	parts->authority = at;
	parts->path = memchr(at, '/', end - at);
	if (parts->path == NULL)
		parts->path = end;
	parts->path_len = end - parts->path;
	parts->authority_len = parts->path - at;
	return find_host(parts->authority, parts->authority_len, parts);
}

/* Of URLs with hosts that have become ASCII, as everything below. */
static const char *
split_authority(const char *authority, int len, UrlParts *parts)
{
	const char *problem = find_host(authority, len, parts);
	char		ascii[HOST_SIZE];

	if (problem == NULL && !encoding_is_ascii(parts->host, parts->host_len))
		problem = BAD_CHARACTER;
	return problem != NULL ? problem : host_problem(parts->host, parts->host_len, ascii);
}

static const char *
split_url(const char *url, int len, UrlParts *parts)
{
	const char *problem = find_parts(url, len, parts);

	return problem != NULL ? problem :
		split_authority(parts->authority, parts->authority_len, parts);
}

/* ---------------------------------------------------------------------
 * Hosts become ASCII
 * ---------------------------------------------------------------------
 */

static const char *
settle_host(const char **text, int *len, const UrlParts *parts)
{
	char		ascii[HOST_SIZE];
	const char *problem = host_problem(parts->host, parts->host_len, ascii);

	if (problem == NULL && !encoding_is_ascii(parts->host, parts->host_len))
		replace_name(text, len, parts->host, parts->host_len, ascii);
	return problem;
}

static const char *
settle_url(const char **url, int *len)
{
	UrlParts	parts;
	const char *problem = find_parts(*url, *len, &parts);

	return problem != NULL ? problem : settle_host(url, len, &parts);
}

const char *
url_problem(const char **url)
{
	const char *utf8 = *url;
	int			len = strlen(*url);
	int			utf8_len = len;
	const char *problem = NULL;

	if (len > MAX_CONFIG_URL)
		return CONFIG_TOO_LONG;
	if (strchr(*url, ' ') != NULL)
		return "the URL has a space in it";
	problem = settle_url(url, &len);
	if (problem == NULL && len > MAX_CONFIG_URL)
		problem = CONFIG_TOO_LONG;
	if (problem == NULL && !encoding_to_utf8(&utf8, &utf8_len))
		problem = NO_UTF8;
	return problem;
}

char *
url_host(const char *url)
{
	UrlParts	parts;

	return find_parts(url, strlen(url), &parts) == NULL ? pnstrdup(parts.host, parts.host_len) : NULL;
}

const char *
url_host_problem(const char **host)
{
	UrlParts	parts = {.https = true};
	int			len = strlen(*host);
	const char *problem = find_host(*host, len, &parts);

	return problem != NULL ? problem : settle_host(host, &len, &parts);
}

/* What is ASCII in it is read when it is used (no_proxy.h). */
const char *
url_host_list_problem(const char **hosts)
{
	static const char separators[] = ", \t";
	StringInfoData list;
	char		ascii[HOST_SIZE];
	const char *at = *hosts;
	const char *problem;

	if (encoding_is_ascii(at, strlen(at)))
		return NULL;
	initStringInfo(&list);
	while (*at != '\0')
	{
		int			between = strspn(at, separators);
		int			dots;
		int			len;

		dots = strspn(at + between, ".");
		appendBinaryStringInfo(&list, at, between + dots);
		at += between + dots;
		len = strcspn(at, separators);
		if (encoding_is_ascii(at, len))
			appendBinaryStringInfo(&list, at, len);
		else if ((problem = name_problem(at, len, ascii)) == NULL)
			appendStringInfoString(&list, ascii);
		else
			return psprintf("the host \"%s\" %s", encoding_quotable(at, len), problem);
		at += len;
	}
	*hosts = list.data;
	return NULL;
}

const char *
url_endpoint_problem(JsonbValue *endpoint)
{
	const char *url = endpoint->val.string.val;
	int			len = endpoint->val.string.len;
	const char *problem = settle_url(&url, &len);

	if (problem == NULL)
		json_set_string(endpoint, url, len);
	return problem;
}

/* ---------------------------------------------------------------------
 * Where an event may lead
 * ---------------------------------------------------------------------
 */

static bool
same_host(const UrlParts *a, const UrlParts *b)
{
	return a->port == b->port && a->host_len == b->host_len &&
		pg_strncasecmp(a->host, b->host, a->host_len) == 0;
}

/*
 * Only what the parser above takes to be the same is the same: another way of
 * writing a host is another host here.  Most events go where the destination says,
 * which url_build() finds out to be an URL or not.
 */
const char *
url_origin_problem(const char *endpoint, int len, const char *url,
				   char **allowed_hosts, int nallowed_hosts)
{
	UrlParts	to;
	UrlParts	own;
	const char *problem;

	if (url != NULL && strlen(url) == (size_t) len && memcmp(endpoint, url, len) == 0)
		return NULL;
	problem = split_url(endpoint, len, &to);
	if (problem == NULL && url != NULL)
		problem = split_url(url, strlen(url), &own);
	if (problem != NULL)
		return problem;
	if (url == NULL)
		own.https = true;
	else if (to.https == own.https && same_host(&to, &own))
		return NULL;
	if (own.https && !to.https)
		return "the event's URL is not https, and the destination's is";

	for (int i = 0; i < nallowed_hosts; i++)
	{
		UrlParts	allowed = {.https = to.https};

		if (split_authority(allowed_hosts[i], strlen(allowed_hosts[i]), &allowed) == NULL &&
			same_host(&to, &allowed))
			return NULL;
	}
	return psprintf("the event's URL leads to %.*s:%d, which is neither the destination's own host nor in its allowed_hosts",
					Min(to.host_len, 255), to.host, to.port);
}

/* ---------------------------------------------------------------------
 * The URL on the wire
 * ---------------------------------------------------------------------
 */

static bool
is_unreserved(unsigned char c)
{
	return json_is_alnum(c) || c == '-' || c == '_' || c == '.' || c == '~';
}

static void
append_percent(StringInfo out, unsigned char c)
{
	static const char hex[] = "0123456789ABCDEF";

	appendStringInfoChar(out, '%');
	appendStringInfoChar(out, hex[c >> 4]);
	appendStringInfoChar(out, hex[c & 0x0F]);
}

void
url_form_encode(StringInfo out, const char *text, int len)
{
	for (int i = 0; i < len; i++)
	{
		if (is_unreserved(text[i]))
			appendStringInfoChar(out, text[i]);
		else if (text[i] == ' ')
			appendStringInfoChar(out, '+');
		else
			append_percent(out, text[i]);
	}
}

/* Is there a valid %XX at the start of the text? */
static bool
is_percent_code(const char *text, int len)
{
	return len >= 3 && text[0] == '%' && ascii_hex_value(text[1]) >= 0 && ascii_hex_value(text[2]) >= 0;
}

/* Whether a path may have a character, or the code that begins with it, as it is. */
static bool
is_of_path(const char *path, int len, const char *delimiters)
{
	return is_unreserved(*path) || strchr(delimiters, *path) != NULL || is_percent_code(path, len);
}

/*
 * A path keeps its codes and delimiters; what may not stand there is encoded, and then,
 * as RudderStack has it, brackets and some others are as well.
 */
static void
append_path(StringInfo out, const char *path, int len)
{
	const char *delimiters = "/:@!$&'()*+,;=[]";

	if (len == 0)
		appendStringInfoChar(out, '/');
	for (int i = 0; i < len; i++)
	{
		if (!is_of_path(path + i, len - i, delimiters))
		{
			delimiters = "/:@$&+,;=";
			break;
		}
	}
	for (int i = 0; i < len; i++)
	{
		unsigned char c = path[i];

		if (is_of_path(path + i, len - i, delimiters))
			appendStringInfoChar(out, c);
		else
			append_percent(out, c);
	}
}

/* Undo form encoding; a percent sign that begins no code stands for itself. */
static const char *
form_decode(const char *text, int len, int *decoded_len)
{
	char	   *decoded = palloc(len + 1);
	char	   *to = decoded;

	for (int i = 0; i < len; i++)
	{
		if (is_percent_code(text + i, len - i))
		{
			*to++ = (char) (16 * ascii_hex_value(text[i + 1]) + ascii_hex_value(text[i + 2]));
			i += 2;
		}
		else
			*to++ = text[i] == '+' ? ' ' : text[i];
	}
	*decoded_len = to - decoded;
	return decoded;
}

/* Add the endpoint's own pairs; pairs must have room for one per ampersand. */
static int
own_query_pairs(const UrlParts *parts, QueryPair *pairs)
{
	const char *at = parts->query;
	const char *end = at + parts->query_len;
	int			npairs = 0;

	while (at < end)
	{
		const char *stop = memchr(at, '&', end - at);
		const char *equals;

		if (stop == NULL)
			stop = end;
		if (stop > at)
		{
			QueryPair  *pair = &pairs[npairs++];

			equals = memchr(at, '=', stop - at);
			pair->keyed = equals != NULL;
			if (equals == NULL)
				equals = stop;
			pair->key = form_decode(at, equals - at, &pair->key_len);
			if (equals < stop)
				equals++;
			pair->value = form_decode(equals, stop - equals, &pair->value_len);
			pair->own = true;
		}
		at = stop + 1;
	}
	return npairs;
}

static bool
param_pair(const NamedValue *param, QueryPair *pair)
{
	pair->key = param->name;
	pair->key_len = param->name_len;
	pair->value = json_plain_text(&param->value, &pair->value_len, MAX_WIRE_URL);
	pair->own = param->is_own;
	pair->keyed = true;
	return pair->value != NULL && encoding_to_utf8(&pair->key, &pair->key_len);
}

static int
query_pair_cmp(const void *a, const void *b)
{
	const QueryPair *left = a;
	const QueryPair *right = b;
	int			cmp = memcmp(left->key, right->key, Min(left->key_len, right->key_len));

	if (cmp != 0)
		return cmp;
	if (left->key_len != right->key_len)
		return left->key_len < right->key_len ? -1 : 1;
	return left->position < right->position ? -1 : 1;
}

/* All pairs in order, to the URL and to what is shown of it. */
static const char *
append_query(const UrlParts *parts, const NamedValues *params,
			 StringInfo url, StringInfo shown)
{
	int			room = 1 + params->count;
	QueryPair  *pairs;
	int			npairs;
	Size		bytes = 0;

	for (int i = 0; i < parts->query_len; i++)
		room += parts->query[i] == '&';
	pairs = palloc_extended(room * sizeof(QueryPair), MCXT_ALLOC_HUGE);

	npairs = own_query_pairs(parts, pairs);
	for (int i = 0; i < params->count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (!param_pair(&params->items[i], &pairs[npairs++]))
			return "a param is not valid UTF-8";
		bytes += pairs[npairs - 1].key_len + (Size) pairs[npairs - 1].value_len;
		if (bytes > MAX_WIRE_URL)
			return TOO_LONG;
	}
	for (int i = 0; i < npairs; i++)
		pairs[i].position = i;
	if (npairs > 1)
		qsort(pairs, npairs, sizeof(QueryPair), query_pair_cmp);

	for (int i = 0; i < npairs; i++)
	{
		const QueryPair *pair = &pairs[i];
		int			start = url->len;

		if (pair->key_len + (Size) pair->value_len + url->len > MAX_WIRE_URL)
			return TOO_LONG;

		appendStringInfoChar(url, i == 0 ? '?' : '&');
		url_form_encode(url, pair->key, pair->key_len);
		appendStringInfoChar(url, '=');
		if (pair->own && pair->keyed)
			appendBinaryStringInfo(shown, url->data + start, url->len - start);
		else if (pair->own)
			appendBinaryStringInfo(shown, url->data + start, 1);
		url_form_encode(url, pair->value, pair->value_len);
		if (pair->own)
			appendStringInfoString(shown, SHOWN_MASK);
		else
			appendBinaryStringInfo(shown, url->data + start, url->len - start);
	}
	return NULL;
}

const char *
url_build(const char *endpoint, int len, const NamedValues *params,
		  StringInfo url, StringInfo shown)
{
	UrlParts	parts;
	const char *problem;
	int			start = url->len;

	if (len > MAX_WIRE_URL)
		return "the URL is longer than 65536 bytes";
	problem = split_url(endpoint, len, &parts);
	if (problem != NULL)
		return problem;

	appendBinaryStringInfo(url, endpoint, parts.path - endpoint);
	append_path(url, parts.path, parts.path_len);
	appendBinaryStringInfo(shown, url->data + start, url->len - start);

	problem = append_query(&parts, params, url, shown);
	if (problem == NULL && url->len - start > MAX_WIRE_URL)
		problem = TOO_LONG;
	return problem;
}
