/*-------------------------------------------------------------------------
 *
 * copy.c
 *		A destination in one piece of memory, to be kept.
 *
 * Reading a row leaves ten times as much behind as there is in it.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "base/pack.h"
#include "destination/copy.h"
#include "transform/config.h"

static Secret *
pack_secret(Packing *packing, const Secret *secret)
{
	Secret	   *to;
	char	   *text;

	if (secret == NULL)
		return NULL;
	to = pack(packing, secret, sizeof(Secret));
	text = pack_string(packing, secret->text);
	if (to != NULL)
		to->text = text;
	return to;
}

static char **
pack_strings(Packing *packing, char **strings, int count)
{
	char	  **to;

	if (strings == NULL)
		return NULL;
	to = pack(packing, strings, Max(count, 1) * sizeof(char *));
	for (int i = 0; i < count; i++)
	{
		char	   *string = pack_string(packing, strings[i]);

		if (to != NULL)
			to[i] = string;
	}
	return to;
}

static SigningSecret *
pack_signing_secrets(Packing *packing, const SigningSecret *secrets, int count)
{
	SigningSecret *to;

	if (secrets == NULL)
		return NULL;
	to = pack(packing, secrets, count * sizeof(SigningSecret));
	for (int i = 0; i < count; i++)
	{
		Secret	   *secret = pack_secret(packing, secrets[i].secret);

		if (to != NULL)
			to[i].secret = secret;
	}
	return to;
}

/* Everything that a Destination points to; *to is NULL while that is counted. */
static Destination *
pack_destination(Packing *packing, const Destination *dest, bool masked)
{
	Destination *to = pack(packing, dest, sizeof(Destination));
	Destination copy = *dest;

	copy.name = pack_string(packing, dest->name);
	copy.problem = pack_string(packing, dest->problem);
	copy.url = pack_string(packing, dest->url);
	copy.origin = pack_string(packing, dest->origin);
	copy.method = pack_string(packing, dest->method);
	if (dest->config != NULL)
		copy.config = transform_config_pack(packing, dest->config);
	copy.masked_config = NULL;
	if (masked && dest->masked_config != NULL)
		copy.masked_config = transform_config_pack(packing, dest->masked_config);
	copy.auth.header = pack_string(packing, dest->auth.header);
	copy.auth.username = pack_string(packing, dest->auth.username);
	copy.auth.secret = pack_secret(packing, dest->auth.secret);
	copy.allowed_hosts = pack_strings(packing, dest->allowed_hosts, dest->nallowed_hosts);
	copy.signing_secrets = pack_signing_secrets(packing, dest->signing_secrets,
												dest->nsigning_secrets);
	copy.ca_cert = pack_string(packing, dest->ca_cert);
	copy.client_cert = pack_secret(packing, dest->client_cert);
	copy.client_key = pack_secret(packing, dest->client_key);
	copy.proxy = pack_secret(packing, dest->proxy);
	copy.no_proxy = pack_string(packing, dest->no_proxy);
	if (dest->status_outcomes != NULL)
		copy.status_outcomes = pack(packing, dest->status_outcomes,
									dest->nstatus_outcomes * sizeof(StatusOutcome));
	if (to != NULL)
		*to = copy;
	return to;
}

const Destination *
destination_copy(const Destination *dest, bool masked, MemoryContext context)
{
	Packing		packing = {NULL, 0};

	(void) pack_destination(&packing, dest, masked);
	packing = (Packing) {MemoryContextAlloc(context, packing.used), 0};
	return pack_destination(&packing, dest, masked);
}
