/*-------------------------------------------------------------------------
 *
 * render.c
 *		An event and a destination become the request that is sent.
 *
 * Secrets are fetched from where they are, and the request is signed.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <inttypes.h>

#include "common/pg_prng.h"
#include "miscadmin.h"
#include "transform/header.h"
#include "utils/timestamp.h"

#include "base/clock.h"
#include "base/encoding.h"
#include "base/traceparent.h"
#include "destination/allow.h"
#include "destination/auth.h"
#include "destination/check.h"
#include "destination/secret.h"
#include "destination/sign.h"
#include "destination/values.h"
#include "http/values.h"
#include "transform/json.h"
#include "transform/request.h"
#include "transform/transform.h"
#include "transform/url.h"
#include "transform/values.h"
#include "worker/known.h"
#include "worker/render.h"

/* ---------------------------------------------------------------------
 * Secrets
 * ---------------------------------------------------------------------
 */

static bool
fetch(const Secret *secret, char **value, char **why)
{
	*value = NULL;
	if (secret == NULL)
		return true;
	*value = secret_value(secret, why);
	return *value != NULL;
}

/* The value of a configured header, if it is not there yet. */
static bool
fetch_header(NamedValue *header, const Destination *destination, char **why)
{
	const DestinationAuth *auth = &destination->auth;
	const Secret *secret;
	const char *problem = NULL;
	char	   *value;
	bool		made = auth->header != NULL &&
		header_names_equal(header->name, header->name_len,
								   auth->header, strlen(auth->header));

	if (!made && (header->value.type != jbvBinary || header->valued_by_event))
		return true;

	secret = made ? auth->secret : secret_from_json(&header->value, &problem);
	if (secret == NULL)
		elog(ERROR, "headers were not checked: %s", problem);
	value = secret_value(secret, why);
	if (value == NULL)
		return false;
	if (made)
		value = auth_header_value(auth, value);
	problem = value == NULL ? "the value is not valid UTF-8" :
		request_header_value_problem(value, strlen(value));
	if (problem != NULL)
	{
		*why = psprintf("header \"%.*s\" cannot be made of %s: %s", header->name_len,
						header->name, secret_describe(secret), problem);
		return false;
	}
	json_set_string(&header->value, value, strlen(value));
	return true;
}

static bool
is_of_use(const Secret *secret, const char *problem, char **why)
{
	if (problem != NULL)
		*why = psprintf("%s is of no use: %s", secret_describe(secret), problem);
	return problem == NULL;
}

/* What is in the row itself was looked at when it was written. */
static bool
fetch_pem(const Secret *secret, bool is_key, char **value, char **why)
{
	const char *hint;

	if (!fetch(secret, value, why))
		return false;
	return secret == NULL || secret->source == SECRET_LITERAL ||
		is_of_use(secret, destination_pem_problem(*value, is_key, &hint), why);
}

/* A password that is no text at all is sent as it is. */
static bool
fetch_proxy(const Secret *secret, char **value, char **why)
{
	const char *hint;
	const char *utf8;
	int			len;

	if (!fetch(secret, value, why))
		return false;
	if (secret == NULL)
		return true;
	if (secret->source != SECRET_LITERAL &&
		!is_of_use(secret, destination_proxy_problem(value, &hint), why))
		return false;
	utf8 = *value;
	len = strlen(utf8);
	if (encoding_to_utf8(&utf8, &len))
		*value = unconstify(char *, utf8);
	return true;
}

static bool
fetch_secrets(Transformed *transformed, const Destination *destination,
			  Rendered *rendered, char **why)
{
	for (int i = 0; i < transformed->nconfigured; i++)
	{
		if (!fetch_header(&transformed->headers.items[i], destination, why))
			return false;
	}
	return fetch_pem(destination->client_cert, false, &rendered->client_cert, why) &&
		fetch_pem(destination->client_key, true, &rendered->client_key, why) &&
		fetch_proxy(destination->proxy, &rendered->proxy, why);
}

/* ---------------------------------------------------------------------
 * Signing
 * ---------------------------------------------------------------------
 */

/*
 * webhook-id is the same in all attempts, and after a replay, a restore or an
 * upgrade: the event's messageId where it has one that can be a header, else an id
 * that nothing but what is stored with the event is in.  The event's own id may be
 * given out again, by a new extension or where a standby has taken over, but not
 * at the same time and with the same nonce.
 */
static const char *
webhook_id(const StoredEvent *stored, int64 event_id)
{
	char	   *id = sign_message_id(stored->event);

	if (id != NULL)
		return id;
	return psprintf(SIGN_OWN_ID_PREFIX "%" PRIx64 "_%016" PRIx64 "_" INT64_FORMAT,
					(uint64) stored->created_at, (uint64) stored->nonce, event_id);
}

/* All signatures of what is signed, in one header. */
static bool
signatures(const Destination *destination, TimestampTz now, const StringInfo signed_bytes,
		   StringInfo header, StringInfo known, char **why)
{
	for (int i = 0; i < destination->nsigning_secrets; i++)
	{
		const SigningSecret *signing = &destination->signing_secrets[i];
		const char *problem;
		char	   *signature;
		char	   *key;

		CHECK_FOR_INTERRUPTS();
		if (signing->expires_at <= now)
		{
			if (signing->secret->source == SECRET_LITERAL)
				known_signing_secret(signing->secret->text, known);
			continue;
		}
		if (!fetch(signing->secret, &key, why))
			return false;
		problem = sign_key_problem(key);
		if (problem != NULL)
		{
			*why = psprintf("%s holds no signing secret: %s",
							secret_describe(signing->secret), problem);
			return false;
		}
		signature = sign_bytes(key, signed_bytes->data, signed_bytes->len);
		if (signature == NULL)
		{
			*why = pstrdup("libcrypto cannot sign with a signing secret of the destination");
			return false;
		}
		known_signing_secret(key, known);
		if (header->len > 0)
			appendStringInfoChar(header, ' ');
		appendStringInfoString(header, signature);
	}
	if (header->len == 0)
	{
		*why = pstrdup("all signing secrets of the destination have expired");
		return false;
	}
	return true;
}

static bool
sign_request(const StoredEvent *stored, int64 event_id, const Destination *destination,
			 WireRequest *wire, StringInfo known, char **why)
{
	TimestampTz now = GetCurrentTimestamp();
	const char *id = webhook_id(stored, event_id);
	char	   *timestamp;
	StringInfoData signed_bytes;
	StringInfoData header;

	request_add_header(wire, "webhook-id", id);
	if (destination->nsigning_secrets == 0)
		return true;

	timestamp = psprintf(INT64_FORMAT, clock_unix_seconds(now));
	initStringInfo(&signed_bytes);
	appendStringInfo(&signed_bytes, "%s.%s.", id, timestamp);
	if (wire->body != NULL)
		appendBinaryStringInfo(&signed_bytes, wire->body, wire->body_len);
	initStringInfo(&header);
	if (!signatures(destination, now, &signed_bytes, &header, known, why))
		return false;
	pfree(signed_bytes.data);	/* as large as the body */

	request_add_header(wire, "webhook-timestamp", timestamp);
	request_add_header(wire, "webhook-signature", header.data);
	return true;
}

/* The trace goes on, in a span of its own for each attempt, unless somebody has set the header. */
static void
add_trace(const StoredEvent *stored, Rendered *rendered)
{
	static const char name[] = "traceparent";
	WireRequest *wire = &rendered->wire;
	bool		malformed;
	const char *parent = traceparent_of_event(stored->event, &malformed);

	rendered->traceparent[0] = '\0';
	if (parent == NULL && stored->traceparent != NULL &&
		traceparent_is_valid(stored->traceparent, strlen(stored->traceparent)))
		parent = stored->traceparent;
	if (parent == NULL)
		return;
	for (int i = 0; i < wire->nheaders; i++)
	{
		if (header_names_equal(wire->headers[i].name, strlen(wire->headers[i].name), name, strlen(name)))
			return;
	}
	traceparent_child(parent, pg_prng_uint64(&pg_global_prng_state), rendered->traceparent);
	request_add_header(wire, name, pstrdup(rendered->traceparent));
}

RenderResult
render_request(const StoredEvent *stored, int64 event_id, const Destination *destination,
			   Rendered *rendered, char **why)
{
	Transformed transformed;
	StringInfoData known;

	transform_event(stored->event, destination->config, rswebhook_max_request_size, &transformed);
	rendered->paths_us = transformed.paths_us;
	if (transformed.problem != NULL)
	{
		*why = pstrdup(transformed.problem);
		return RENDER_REFUSED;
	}
	if (!allow_event(&transformed, destination, why))
		return RENDER_REFUSED;
	if (!fetch_secrets(&transformed, destination, rendered, why))
		return RENDER_NOT_NOW;
	if (!request_to_wire(&transformed, &rendered->wire, why))
		return RENDER_REFUSED;
	initStringInfo(&known);
	known_of_request(&transformed, &rendered->wire, destination, &known);
	if (rendered->proxy != NULL)
		known_proxy(rendered->proxy, &known);
	if (!sign_request(stored, event_id, destination, &rendered->wire, &known, why))
		return RENDER_NOT_NOW;
	add_trace(stored, rendered);
	if (known.len > 0)
	{
		rendered->known = known.data;
		rendered->known_len = known.len;	/* and a NUL after it */
	}
	return RENDER_OK;
}

/* ---------------------------------------------------------------------
 * Keeping it
 * ---------------------------------------------------------------------
 */

static Size
string_size(const char *string)
{
	return string != NULL ? strlen(string) + 1 : 0;
}

Size
render_size(const Rendered *rendered)
{
	const WireRequest *wire = &rendered->wire;
	Size		size = string_size(wire->method) + string_size(wire->url) +
		string_size(wire->shown) + wire->body_len + 1 +
		string_size(rendered->client_cert) + string_size(rendered->client_key) +
		string_size(rendered->proxy) + rendered->known_len + 1;

	for (int i = 0; i < wire->nheaders; i++)
		size += sizeof(HttpHeader) + string_size(wire->headers[i].name) +
			string_size(wire->headers[i].value);
	return size;
}

/* Moves *room on. */
static char *
copy_bytes(char **room, const char *bytes, Size len)
{
	char	   *copy = *room;

	memcpy(copy, bytes, len);
	copy[len] = '\0';
	*room += len + 1;
	return copy;
}

static char *
copy_string(char **room, const char *string)
{
	return string != NULL ? copy_bytes(room, string, strlen(string)) : NULL;
}

void
render_copy(Rendered *rendered)
{
	WireRequest *wire = &rendered->wire;
	char	   *room = palloc_extended(render_size(rendered), MCXT_ALLOC_HUGE);
	HttpHeader *headers = (HttpHeader *) room;

	room += wire->nheaders * sizeof(HttpHeader);
	for (int i = 0; i < wire->nheaders; i++)
	{
		headers[i].name = copy_string(&room, wire->headers[i].name);
		headers[i].value = copy_string(&room, wire->headers[i].value);
		headers[i].stays = wire->headers[i].stays;
	}
	wire->headers = headers;
	wire->method = copy_string(&room, wire->method);
	wire->url = copy_string(&room, wire->url);
	wire->shown = copy_string(&room, wire->shown);
	if (wire->body != NULL)
		wire->body = copy_bytes(&room, wire->body, wire->body_len);
	rendered->client_cert = copy_string(&room, rendered->client_cert);
	rendered->client_key = copy_string(&room, rendered->client_key);
	rendered->proxy = copy_string(&room, rendered->proxy);
	if (rendered->known != NULL)
		rendered->known = copy_bytes(&room, rendered->known, rendered->known_len);
}
