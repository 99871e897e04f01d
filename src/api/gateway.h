/*-------------------------------------------------------------------------
 *
 * gateway.h
 *		Events as RudderStack's gateway would pass them on, for those who want that.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_GATEWAY_H
#define RSWEBHOOK_GATEWAY_H

#include "datatype/timestamp.h"
#include "utils/jsonb.h"

#include "api/refusal.h"

extern bool rswebhook_enrich;	/* setting */

/* What a sender or a trigger says of that. */
typedef enum Enrichment
{
	ENRICH_AS_SET,				/* nothing */
	ENRICH_YES,
	ENRICH_NO
} Enrichment;

extern bool gateway_is_wanted(Enrichment enrichment);

/* The event, an object, with what it lacks (transform/enrich.h); NULL: it was refused. */
extern Jsonb *gateway_pass(Jsonb *event, TimestampTz now, Refusal *refusal);

#endif							/* RSWEBHOOK_GATEWAY_H */
