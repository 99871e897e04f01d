/*-------------------------------------------------------------------------
 *
 * known.c
 *		The secrets of a request, which must not be recorded when they come back.
 *
 * As they are when it is made: an answer may come when the destination has others,
 * or is no more.  Its client_key is not among them, since it is never sent.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "base/base64.h"
#include "base/encoding.h"
#include "destination/auth.h"
#include "destination/mask.h"
#include "http/ascii.h"
#include "transform/config_mapped.h"
#include "transform/header.h"
#include "transform/json.h"
#include "transform/request.h"
#include "transform/url.h"
#include "transform/xmltext.h"
#include "worker/known.h"

/* Once each: of too many, all would be masked. */
static void
add(StringInfo known, const char *text, int len)
{
	if (len < MASK_MIN_BYTES || memchr(text, '\0', len) != NULL)
		return;
	for (int at = 0; at < known->len; at += strlen(known->data + at) + 1)
	{
		if (strncmp(known->data + at, text, len) == 0 && known->data[at + len] == '\0')
			return;
	}
	appendBinaryStringInfo(known, text, len);
	appendStringInfoChar(known, '\0');
}

/* Part of an URL: as it is there, as it is meant, and as it is sent, which may be another way. */
static void
add_of_url(StringInfo known, const char *text, int len, char space)
{
	char	   *meant = palloc(len + 1);
	StringInfoData sent;
	int			used = 0;

	add(known, text, len);
	for (int i = 0; i < len; i++)
	{
		char		c = text[i];

		if (c == '%' && i + 2 < len && ascii_hex_value(text[i + 1]) >= 0 && ascii_hex_value(text[i + 2]) >= 0)
		{
			c = (char) (ascii_hex_value(text[i + 1]) << 4 | ascii_hex_value(text[i + 2]));
			i += 2;
		}
		else if (c == space)
			c = ' ';
		meant[used++] = c;
	}
	if (used != len || memcmp(meant, text, len) != 0)
		add(known, meant, used);
	initStringInfo(&sent);
	url_form_encode(&sent, meant, used);
	if (sent.len != len || memcmp(sent.data, text, len) != 0)
		add(known, sent.data, sent.len);
	pfree(sent.data);
	pfree(meant);
}

/* What follows the first such character, after len bytes at the most; NULL: there is none. */
static const char *
behind(const char *text, int len, char c)
{
	const char *at = memchr(text, c, len);

	return at != NULL ? at + 1 : NULL;
}

/* "me:password", whose password is a secret by itself. */
static void
add_pair(StringInfo known, const char *pair, int len)
{
	const char *password = behind(pair, len, ':');

	add(known, pair, len);
	if (password != NULL)
		add(known, password, pair + len - password);
}

/* What is in a header for Basic authentication. */
static void
add_basic(StringInfo known, const char *value)
{
	static const char scheme[] = "basic ";
	int			size = strlen(value);
	char	   *decoded;
	int			len;

	if (!ascii_begin_same(value, scheme, strlen(scheme)))
		return;
	decoded = palloc(size);
	len = base64_decode(value + strlen(scheme), decoded, size);
	if (len > 0)
		add_pair(known, decoded, len);
	pfree(decoded);
}

/*
 * The parts of a credential: all but the word that says what it is, and of
 * "name=value" the value.
 */
static void
add_parts(StringInfo known, const char *value)
{
	static const char blanks[] = " \t,;";
	const char *end;

	for (const char *part = value; *part != '\0'; part = end + strspn(end, blanks))
	{
		int			len = strcspn(part, blanks);
		const char *named = behind(part, len, '=');

		end = part + len;
		while (named != NULL && named < end && (*named == '"' || *named == '='))
			named++;
		if (named != NULL && named < end)
			add(known, named, end - named - (end[-1] == '"'));
		else if (part > value)
			add(known, part, len);
	}
}

/* What describes a body, or who sends it, is no secret, whoever sets it. */
static bool
is_public(const char *name)
{
	return ascii_same(name, "accept") || ascii_same(name, "content-type") ||
		ascii_same(name, "user-agent");
}

/* One that the destination sets; NULL: it does not. */
static const NamedValue *
configured(const char *name, const Transformed *transformed)
{
	for (int i = 0; i < transformed->nconfigured; i++)
	{
		const NamedValue *header = &transformed->headers.items[i];

		if (header_names_equal(name, strlen(name), header->name, header->name_len))
			return header;
	}
	return NULL;
}

/* The endpoint is in the server encoding, and what is sent of it in UTF-8. */
static void
add_query(StringInfo known, const char *url, int len)
{
	const char *end = url + len;
	const char *part = behind(url, len, '?');

	while (part != NULL && part < end)
	{
		int			part_len = Min(strcspn(part, "&#"), (size_t) (end - part));
		const char *value = behind(part, part_len, '=');

		if (value == NULL)
			value = part;
		add_of_url(known, value, part + part_len - value, '+');
		part = part[part_len] == '&' && part + part_len < end ? part + part_len + 1 : NULL;
	}
}

/* Is it below a name that is that of a credential, however deep? */
static bool
is_of_credential(const Mapping *mapping, const DestinationAuth *auth)
{
	for (int i = 0; i < mapping->nparts; i++)
	{
		const MappingPart *part = &mapping->parts[i];

		if (part->name != NULL && auth_is_header(auth, part->name, part->len))
			return true;
	}
	return false;
}

/* In a body most literals are words, as are those of headers that describe it. */
static bool
is_secret_in(MappingList list, const Mapping *mapping, const DestinationAuth *auth)
{
	switch (list)
	{
		case MAPPING_HEADERS:
			return !is_public(pnstrdup(mapping->parts[0].name, mapping->parts[0].len));
		case MAPPING_QUERY:
			return true;
		case MAPPING_BODY:
			return is_of_credential(mapping, auth);
		case MAPPING_PATH:
			break;
	}
	return false;
}

/*
 * As it is, as it is in a query or a form, in XML, in JSON, and in JSON that is in a query: who
 * sends it back may escape it once more.
 */
static void
add_literal(StringInfo known, const char *text, int len, bool in_xml)
{
	StringInfoData form;
	StringInfoData json;
	StringInfoData xml;
	JsonbValue	value;

	initStringInfo(&form);
	initStringInfo(&json);
	initStringInfo(&xml);
	add(known, text, len);
	url_form_encode(&form, text, len);
	add(known, form.data, form.len);
	if (in_xml)
		xmltext_escape(&xml, text, len, JSON_MOST_TEXT);
	add(known, xml.data, xml.len);
	json_set_string(&value, text, len);
	json_append(&json, &value, NUMBERS_JS, JSON_MOST_TEXT);
	/* without its quotes */
	add(known, json.data + 1, json.len - 2);
	resetStringInfo(&form);
	url_form_encode(&form, json.data + 1, json.len - 2);
	add(known, form.data, form.len);
	pfree(form.data);
	pfree(json.data);
	pfree(xml.data);
}

/* What the mappings say of their own, wherever in the request it went. */
static void
add_literals(StringInfo known, const ConfigMapped *mapped, const DestinationAuth *auth)
{
	for (int list = 0; list < MAPPING_LISTS; list++)
	{
		const Mappings *mappings = &mapped->lists[list];

		for (int i = 0; i < mappings->count; i++)
		{
			const Mapping *mapping = &mappings->items[i];
			const char *text = mapping->literal.val.string.val;
			int			len = mapping->literal.val.string.len;

			if (mapping->npieces > 0 || mapping->by_event || mapping->literal.type != jbvString ||
				!is_secret_in(list, mapping, auth))
				continue;
			/* blanks around it do not always arrive */
			js_trim(&text, &len);
			if (encoding_to_utf8(&text, &len))
				add_literal(known, text, len, list == MAPPING_BODY && mapped->format == BODY_XML);
		}
	}
}

void
known_of_request(const Transformed *transformed, const WireRequest *wire,
				 const Destination *destination, StringInfo known)
{
	const JsonbValue *endpoint = &transformed->endpoint;
	/* what follows the endpoint's own query are the event's params */
	const char *url = pnstrdup(endpoint->val.string.val, endpoint->val.string.len);
	int			len = endpoint->val.string.len;

	for (int i = 0; i < wire->nheaders; i++)
	{
		const HttpHeader *header = &wire->headers[i];
		const NamedValue *own = configured(header->name, transformed);
		bool		credential = auth_is_header(&destination->auth, header->name, strlen(header->name)) ||
			(own != NULL && request_is_own_value(own));

		if (!credential && (own == NULL || own->valued_by_event || is_public(header->name)))
			continue;
		add(known, header->value, strlen(header->value));
		if (credential)
		{
			add_parts(known, header->value);
			add_basic(known, header->value);
		}
	}
	if (encoding_to_utf8(&url, &len))
		add_query(known, url, len);
	if (transformed->mapped != NULL)
		add_literals(known, transformed->mapped, &destination->auth);
}

void
known_signing_secret(const char *key, StringInfo known)
{
	const char *bare = behind(key, strlen(key), '_');

	add(known, key, strlen(key));
	if (bare != NULL)
		add(known, bare, strlen(bare));
}

/* Its user and password, which are written as in any URL. */
void
known_proxy(const char *proxy, StringInfo known)
{
	const char *authority = strstr(proxy, "://");
	const char *end;
	const char *password;

	authority = authority != NULL ? authority + strlen("://") : proxy;
	end = authority + strcspn(authority, "/?#");
	while (end > authority && *end != '@')
		end--;
	password = behind(authority, end - authority, ':');
	add_of_url(known, authority, end - authority, '\0');
	if (password != NULL)
		add_of_url(known, password, end - password, '\0');
}
