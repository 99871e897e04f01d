/*-------------------------------------------------------------------------
 *
 * gateway.c
 *		Events as RudderStack's gateway would pass them on, for those who want that.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/inet.h"

#include "api/event.h"
#include "api/gateway.h"
#include "transform/enrich.h"

bool		rswebhook_enrich = false;

bool
gateway_is_wanted(Enrichment enrichment)
{
	return enrichment == ENRICH_AS_SET ? rswebhook_enrich : enrichment == ENRICH_YES;
}

/* The client's, as inet_client_addr() has it; NULL: a socket's, or a process of the server's. */
static const char *
client_address(void)
{
	LOCAL_FCINFO(fcinfo, 0);
	Datum		address;

	InitFunctionCallInfoData(*fcinfo, NULL, 0, InvalidOid, NULL, NULL);
	address = inet_client_addr(fcinfo);
	return fcinfo->isnull ? NULL : DatumGetCString(DirectFunctionCall1(inet_out, address));
}

Jsonb *
gateway_pass(Jsonb *event, TimestampTz now, Refusal *refusal)
{
	const Arrival arrival = {.at = now, .from = client_address(), .new_id = event_new_id};
	const char *why;
	Jsonb	   *enriched;

	if (!enrich_is_accepted(event))
	{
		(void) refusal_set(refusal, ERRCODE_INVALID_PARAMETER_VALUE,
						   "event has neither a \"userId\" nor an \"anonymousId\"",
						   "RudderStack's gateway refuses such an event, unless its type is extract or rETL, and with enrich it is refused here.",
						   "Give the event one of them, or send it without enrich.");
		return NULL;
	}
	enriched = enrich_event(event, &arrival, &why);
	if (enriched == NULL)
		(void) refusal_set(refusal, ERRCODE_INTERNAL_ERROR, "event cannot be enriched",
						   psprintf("The server %s.", why), "Send it without enrich.");
	return enriched;
}
