/*-------------------------------------------------------------------------
 *
 * request.c
 *		The request value: its jsonb form for people, its wire form for libcurl.
 *
 * On the wire everything is UTF-8, whatever the database's encoding; what is
 * only shown is in the database's.  An event can make a request that cannot
 * be sent, and that is no error but an outcome, so request_to_wire() says why
 * instead of throwing.  Reasons may be shown to anybody: they quote names,
 * never values.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "mb/pg_wchar.h"
#include "miscadmin.h"

#include "base/encoding.h"
#include "http/values.h"
#include "transform/config.h"
#include "transform/flatten.h"
#include "transform/form.h"
#include "transform/header.h"
#include "transform/json.h"
#include "transform/request.h"
#include "transform/transform.h"
#include "transform/url.h"
#include "transform/values.h"
#include "transform/xmltext.h"

int			rswebhook_max_request_size = 4 * 1024 * 1024;
char	   *rswebhook_user_agent = NULL;


#define OWN_HEADERS		4

typedef struct WireHeader
{
	HttpHeader	header;
	int			position;
} WireHeader;

/* ---------------------------------------------------------------------
 * The form for people
 * ---------------------------------------------------------------------
 */

static void
set_pair(JsonbPair *pair, const char *key, const JsonbValue *value)
{
	json_set_string(&pair->key, key, strlen(key));
	pair->value = *value;
}

/* Settles the list. */
static void
names_to_object(NamedValues *list, JsonbValue *object)
{
	JsonbPair  *pairs;

	named_values_settle(list);
	pairs = palloc_extended(Max(list->count, 1) * sizeof(JsonbPair), MCXT_ALLOC_HUGE);
	for (int i = 0; i < list->count; i++)
	{
		json_set_string(&pairs[i].key, list->items[i].name, list->items[i].name_len);
		pairs[i].value = list->items[i].value;
	}
	json_set_object(object, pairs, list->count);
}

/* As RudderStack has a body of that format: an object of texts, or a text in an object. */
static void
body_to_object(const Transformed *transformed, JsonbPair *pair, JsonbValue *object)
{
	NamedValues fields = {0};
	StringInfoData text;
	JsonbValue	value;

	switch (transformed->format)
	{
		case BODY_FORM:
			form_fields(&transformed->body, JSON_MOST_TEXT, &fields);
			names_to_object(&fields, object);
			break;
		case BODY_XML:
			initStringInfo(&text);
			xmltext_append(&text, &transformed->body, transformed->xml_root, JSON_MOST_TEXT);
			json_set_string(&value, text.data, text.len);
			set_pair(pair, "payload", &value);
			json_set_object(object, pair, 1);
			break;
		default:
			*object = transformed->body;
			break;
	}
}

/* Keys in jsonb's order: by length, then bytes. */
static void
bodies_to_object(const Transformed *transformed, JsonbPair *pairs, JsonbPair *in_pair,
				 JsonbValue *object)
{
	static const struct
	{
		const char *key;
		BodyFormat	format;
		bool		is_one;
	}			bodies[] = {
		{"XML", BODY_XML, true},
		{"FORM", BODY_FORM, true},
		{"JSON", BODY_JSON, true},
		{"undefined", BODY_UNKNOWN, true},
		{"JSON_ARRAY", BODY_JSON, false}
	};
	int			count = 0;

	for (int i = 0; i < lengthof(bodies); i++)
	{
		JsonbValue	body;
		bool		is_it = bodies[i].is_one && bodies[i].format == transformed->format;

		if (bodies[i].format == BODY_UNKNOWN && !is_it)
			continue;
		json_set_object(&body, NULL, 0);
		if (is_it && transformed->has_body)
			body_to_object(transformed, in_pair, &body);
		set_pair(&pairs[count++], bodies[i].key, &body);
	}
	json_set_object(object, pairs, count);
}

Jsonb *
request_to_jsonb(const Transformed *transformed)
{
	NamedValues headers = transformed->headers;
	NamedValues params = transformed->params;
	JsonbValue	empty;
	JsonbValue	headers_object;
	JsonbValue	params_object;
	JsonbValue	body_object;
	JsonbValue	rest;
	JsonbValue	version;
	JsonbPair	bodies[5];
	JsonbPair	in_body;
	JsonbPair	request[9];
	JsonbValue	root;

	if (transformed->passthrough)
		return json_write(&transformed->body);

	/* settling moves items about, and the wire form needs their order */
	headers.items = palloc(Max(headers.count, 1) * sizeof(NamedValue));
	if (headers.count > 0)
		memcpy(headers.items, transformed->headers.items,
			   headers.count * sizeof(NamedValue));
	names_to_object(&headers, &headers_object);
	names_to_object(&params, &params_object);

	json_set_object(&empty, NULL, 0);
	json_set_string(&rest, "REST", 4);
	json_set_string(&version, "1", 1);

	bodies_to_object(transformed, bodies, &in_body, &body_object);

	/* keys in jsonb's order: by length, then bytes */
	set_pair(&request[0], "body", &body_object);
	set_pair(&request[1], "type", &rest);
	set_pair(&request[2], "files", &empty);
	set_pair(&request[3], "method", &transformed->method);
	set_pair(&request[4], "params", &params_object);
	set_pair(&request[5], "userId", &transformed->user_id);
	set_pair(&request[6], "headers", &headers_object);
	set_pair(&request[7], "version", &version);
	set_pair(&request[8], "endpoint", &transformed->endpoint);
	json_set_object(&root, request, lengthof(request));
	return json_write(&root);
}

/* ---------------------------------------------------------------------
 * What may be sent
 * ---------------------------------------------------------------------
 */

static bool
is_token_char(unsigned char c)
{
	return json_is_alnum(c) || (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

const char *
request_header_name_problem(const char *name, int len)
{
	/* those that say how the message itself travels, which is ours to say */
	static const char *const reserved[] = {
		"host", "content-length", "transfer-encoding", "connection", "trailer",
		"te", "upgrade", "keep-alive", "proxy-connection", "proxy-authorization",
		"http2-settings", "expect"
	};
	static const char webhook[] = "webhook-";

	if (len == 0)
		return "the name is empty";
	for (int i = 0; i < len; i++)
	{
		if (!is_token_char(name[i]))
			return "the name has a character that HTTP does not allow in one";
	}
	for (int i = 0; i < lengthof(reserved); i++)
	{
		if (header_names_alike(name, len, reserved[i], strlen(reserved[i])))
			return "HTTP itself sets this header";
	}
	if (len >= strlen(webhook) &&
		header_names_alike(name, strlen(webhook), webhook, strlen(webhook)))
		return "headers that begin with \"webhook-\" are for ids and signatures";
	return NULL;
}

const char *
request_header_value_problem(const char *value, int len)
{
	for (int i = 0; i < len; i++)
	{
		unsigned char c = value[i];

		if (c == '\r' || c == '\n')
			return "the value has a line break";
		if ((c < ' ' && c != '\t') || c == 0x7F)
			return "the value has a control character";
	}
	return NULL;
}

/* ---------------------------------------------------------------------
 * URL
 * ---------------------------------------------------------------------
 */

/* All is ASCII here. */
static char *
finish_shown(StringInfo shown)
{
	if (shown->len > MAX_SHOWN)
	{
		shown->len = MAX_SHOWN - 3;
		appendStringInfoString(shown, "...");
	}
	return shown->data;
}

static bool
build_url(const Transformed *transformed, WireRequest *wire, char **why)
{
	JsonbValue	endpoint = transformed->endpoint;
	const char *problem = transformed->endpoint_settled ? NULL : url_endpoint_problem(&endpoint);
	const char *utf8 = endpoint.val.string.val;
	int			len = endpoint.val.string.len;
	StringInfoData url;
	StringInfoData shown;

	initStringInfo(&url);
	initStringInfo(&shown);
	appendStringInfo(&shown, "%s ", wire->method);

	if (problem == NULL && !encoding_to_utf8(&utf8, &len))
		problem = "the URL is not valid UTF-8";
	if (problem == NULL)
		problem = url_build(utf8, len, &transformed->params, &url, &shown);
	if (problem != NULL)
	{
		*why = pstrdup(problem);
		return false;
	}
	wire->url = url.data;
	wire->shown = finish_shown(&shown);
	return true;
}

/* ---------------------------------------------------------------------
 * Headers
 * ---------------------------------------------------------------------
 */

static int
wire_header_cmp(const void *a, const void *b)
{
	const WireHeader *left = a;
	const WireHeader *right = b;
	int			cmp = pg_strcasecmp(left->header.name, right->header.name);

	if (cmp != 0)
		return cmp;
	return left->position < right->position ? -1 : 1;
}

/* A name for a message: whatever it is, no more than a short line of ASCII. */
static char *
printable_name(const char *name, int len)
{
	int			shown_len = Min(len, 64);
	char	   *shown = pnstrdup(name, shown_len);

	for (int i = 0; i < shown_len; i++)
	{
		if ((unsigned char) shown[i] < ' ' || (unsigned char) shown[i] > '~')
			shown[i] = '?';
	}
	return shown;
}

bool
request_is_own_value(const NamedValue *header)
{
	return header->named_by_event && !header->valued_by_event;
}

/* The transform's header as it is sent, or false with the reason. */
static bool
convert_header(const NamedValue *named, HttpHeader *header, char **why)
{
	const char *problem = request_header_name_problem(named->name, named->name_len);
	const char *value = NULL;
	int			len;

	if (problem == NULL)
	{
		value = json_plain_text(&named->value, &len, MAX_HEADER_BYTES);
		if (value == NULL)
			problem = "the value is not valid UTF-8";
		else
			problem = request_header_value_problem(value, len);
	}
	if (problem != NULL)
	{
		*why = psprintf("header \"%s\" is not allowed: %s",
						printable_name(named->name, named->name_len), problem);
		return false;
	}

	while (len > 0 && (value[len - 1] == ' ' || value[len - 1] == '\t'))
		len--;
	for (; len > 0 && (*value == ' ' || *value == '\t'); len--)
		value++;
	header->name = pnstrdup(named->name, named->name_len);
	header->value = pnstrdup(value, len);
	header->stays = request_is_own_value(named);
	return true;
}

/* An empty one stands for none, as it does to RudderStack. */
static bool
is_no_user_agent(const HttpHeader *header)
{
	return header->value[0] == '\0' && pg_strcasecmp(header->name, "user-agent") == 0;
}

/* Collect them from the weakest source to the strongest; the last one wins.  most: before that. */
static bool
build_headers(const Transformed *transformed, int most, WireRequest *wire, char **why)
{
	const NamedValues *named = &transformed->headers;
	int			count = 1 + named->count;
	WireHeader *all;
	size_t		bytes = 0;

	if (count > most)
	{
		*why = psprintf("the request would have more than %d headers", MAX_HEADERS);
		return false;
	}
	all = palloc(count * sizeof(WireHeader));
	all[0].header.name = "user-agent";
	all[0].header.value = rswebhook_user_agent;
	all[0].header.stays = false;
	for (int i = 0; i < named->count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (!convert_header(&named->items[i], &all[1 + i].header, why))
			return false;
	}
	for (int i = 0; i < count; i++)
		all[i].position = i;
	qsort(all, count, sizeof(WireHeader), wire_header_cmp);

	wire->headers = palloc((count + OWN_HEADERS) * sizeof(HttpHeader));
	for (int i = 0; i < count; i++)
	{
		if (i + 1 < count &&
			pg_strcasecmp(all[i].header.name, all[i + 1].header.name) == 0)
			continue;
		if (is_no_user_agent(&all[i].header))
			continue;
		wire->headers[wire->nheaders++] = all[i].header;
		bytes += strlen(all[i].header.name) + strlen(all[i].header.value);
		if (bytes > MAX_HEADER_BYTES)
		{
			*why = psprintf("the headers would have more than %d bytes", MAX_HEADER_BYTES);
			return false;
		}
	}
	return true;
}

bool
request_own_headers_fit(Jsonb *event, char **why)
{
	Transformed own = {0};
	WireRequest wire = {0};

	transform_own_headers(event, &own.headers);
	/* user-agent is always there */
	return own.headers.count == 0 || build_headers(&own, MAX_HEADERS + 1, &wire, why);
}

void
request_add_header(WireRequest *wire, const char *name, const char *value)
{
	wire->headers[wire->nheaders++] = (HttpHeader) {name, value, false};
}

/* ---------------------------------------------------------------------
 * The form for the wire
 * ---------------------------------------------------------------------
 */

/* In UTF-8; NULL if it cannot be. */
static const char *
body_text(const JsonbValue *body, int *len)
{
	Size		limit = rswebhook_max_request_size;
	const char *utf8 = json_plain_text(body, len, limit);

	/* in databases of another encoding, it may have become longer */
	if (utf8 != NULL && (Size) *len > limit)
		json_too_large(limit);
	return utf8;
}

/* In UTF-8, all of it; false with the reason. */
static bool
set_body(WireRequest *wire, const char *utf8, int len, char **why)
{
	if (utf8 == NULL)
	{
		*why = pstrdup("the event is not valid UTF-8");
		return false;
	}
	wire->body = unconstify(char *, utf8);
	wire->body_len = len;
	return true;
}

static bool
build_form(const Transformed *transformed, WireRequest *wire, char **why)
{
	Size		limit = rswebhook_max_request_size;
	NamedValues fields = {0};
	StringInfoData text;
	const char *problem;

	initStringInfo(&text);
	form_fields(&transformed->body, limit, &fields);
	problem = form_append(&text, &fields, limit);
	if (problem != NULL)
	{
		*why = pstrdup(problem);
		return false;
	}
	return set_body(wire, text.data, text.len, why);
}

static bool
is_empty(const JsonbValue *body)
{
	return body->type == jbvBinary ?
		JsonContainerIsObject(body->val.binary.data) && JsonContainerSize(body->val.binary.data) == 0 :
		body->type == jbvObject && body->val.object.nPairs == 0;
}

static bool
build_body(const Transformed *transformed, WireRequest *wire, char **why)
{
	JsonbValue	text;
	StringInfoData xml;
	const char *utf8;
	int			len;

	if (transformed->format == BODY_FORM)
		return build_form(transformed, wire, why);
	if (transformed->format != BODY_XML)
	{
		/* of an event of which nothing is left, there is no body */
		len = 0;
		utf8 = is_empty(&transformed->body) ? "" : body_text(&transformed->body, &len);
		return set_body(wire, utf8, len, why);
	}
	initStringInfo(&xml);
	xmltext_append(&xml, &transformed->body, transformed->xml_root, rswebhook_max_request_size);
	json_set_string(&text, xml.data, xml.len);
	utf8 = body_text(&text, &len);
	return set_body(wire, utf8, len, why);
}

/*
 * Text is less than nine times as long as its jsonb: six times for characters
 * that have to be escaped, eight for numbers just short enough for their plain
 * form.  And a body may hold parts of an event three times, as timestamp and as
 * address of the sender.  Only events that are large in that sense are written.
 */
#define MOST_GROWTH		(3 * 9)

void
request_check_size(Jsonb *event)
{
	JsonbValue	body;
	int			len;

	if (VARSIZE(event) <= (Size) rswebhook_max_request_size / MOST_GROWTH)
		return;
	transform_body(event, &body);
	(void) body_text(&body, &len);
}

bool
request_to_wire(const Transformed *transformed, WireRequest *wire, char **why)
{
	const JsonbValue *method = &transformed->method;

	memset(wire, 0, sizeof(WireRequest));
	*why = NULL;

	if (transformed->passthrough)
	{
		*why = pstrdup("the event has a \"statusCode\", so there is no request to send");
		return false;
	}
	if (!transformed->is_sendable)
	{
		*why = pstrdup(transformed->format == BODY_UNKNOWN ? "the format is not JSON, FORM or XML" :
					   "the method is not " METHODS_IN_WORDS);
		return false;
	}
	wire->method = pnstrdup(method->val.string.val, method->val.string.len);
	wire->event_in_query = transformed->params.count > 0;

	return build_url(transformed, wire, why) &&
		/* a destination that sets as many can be sent to: two are always there */
		build_headers(transformed, MAX_HEADERS + 2, wire, why) &&
		(!transformed->has_body || build_body(transformed, wire, why));
}

/* UTF-8 text as a jsonb string. */
static void
set_utf8_string(JsonbValue *value, const char *utf8, int len)
{
	const char *text = encoding_from_utf8(utf8, len);

	json_set_string(value, text, strlen(text));
}

Jsonb *
request_wire_to_jsonb(const WireRequest *wire)
{
	NamedValues headers = {0};
	JsonbValue	value = {.type = jbvNull};
	JsonbPair	pairs[4];
	JsonbValue	root;

	/* keys in jsonb's order: by length, then bytes */
	set_pair(&pairs[1], "body", &value);
	if (wire->body != NULL)
		set_utf8_string(&pairs[1].value, wire->body, wire->body_len);
	set_utf8_string(&value, wire->url, strlen(wire->url));
	set_pair(&pairs[0], "url", &value);
	set_utf8_string(&value, wire->method, strlen(wire->method));
	set_pair(&pairs[2], "method", &value);
	for (int i = 0; i < wire->nheaders; i++)
	{
		set_utf8_string(&value, wire->headers[i].value, strlen(wire->headers[i].value));
		named_values_add(&headers, wire->headers[i].name,
						 strlen(wire->headers[i].name), &value);
	}
	names_to_object(&headers, &pairs[3].value);
	json_set_string(&pairs[3].key, "headers", 7);
	json_set_object(&root, pairs, lengthof(pairs));
	return json_write(&root);
}
