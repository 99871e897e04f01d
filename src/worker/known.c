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
#include "transform/header.h"
#include "transform/mapping.h"
#include "transform/request.h"
#include "transform/url.h"
#include "worker/known.h"

static void
add(StringInfo known, const char *text, int len)
{
	if (len < MASK_MIN_BYTES || memchr(text, '\0', len) != NULL)
		return;
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

static bool
is_configured(const char *name, const Transformed *transformed)
{
	for (int i = 0; i < transformed->nconfigured; i++)
	{
		const NamedValue *header = &transformed->headers.items[i];

		if (header_names_equal(name, strlen(name), header->name, header->name_len))
			return !is_public(name) && !header->valued_by_event;
	}
	return false;
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

/* What the destination itself has put into the query, beside that of its URL. */
static void
add_own_params(StringInfo known, const Transformed *transformed)
{
	for (int i = 0; i < transformed->params.count; i++)
	{
		const NamedValue *param = &transformed->params.items[i];
		const char *text = param->value.val.string.val;
		int			len = param->value.val.string.len;

		if (param->is_own && param->value.type == jbvString && encoding_to_utf8(&text, &len))
			add_of_url(known, text, len, '+');
	}
}

/* Likewise into the body, under a name that is that of a credential: most else are words. */
static void
add_own_members(StringInfo known, const Transformed *transformed, const Destination *destination)
{
	const Mappings *mappings = transformed->body_mapping;

	for (int i = 0; mappings != NULL && i < mappings->count; i++)
	{
		const Mapping *mapping = &mappings->items[i];
		const MappingPart *last = mapping->nparts > 0 ? &mapping->parts[mapping->nparts - 1] : NULL;
		const char *text = mapping->literal.val.string.val;
		int			len = mapping->literal.val.string.len;

		if (mapping->npieces == 0 && !mapping->by_event && mapping->literal.type == jbvString &&
			last != NULL && last->name != NULL &&
			auth_is_header(&destination->auth, last->name, last->len) && encoding_to_utf8(&text, &len))
			add(known, text, len);
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
		bool		credential = auth_is_header(&destination->auth, header->name, strlen(header->name));

		if (!credential && !is_configured(header->name, transformed))
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
	add_own_params(known, transformed);
	add_own_members(known, transformed, destination);
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
