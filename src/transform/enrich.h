/*-------------------------------------------------------------------------
 *
 * enrich.h
 *		What RudderStack's gateway and processor add to an event.
 *
 * Pure: what only the caller knows is handed in.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_ENRICH_H
#define RSWEBHOOK_ENRICH_H

#include "datatype/timestamp.h"
#include "utils/jsonb.h"

/* What is known of an event that comes in. */
typedef struct Arrival
{
	TimestampTz at;
	const char *from;			/* the sender's address; NULL: it has none */
	char	   *(*new_id) (void);	/* for one without a messageId */
} Arrival;

/* Has the event, an object, a user?  If not, the gateway refuses all but some types. */
extern bool enrich_is_accepted(Jsonb *event);

/*
 * The event with what it lacks: messageId, rudderId, the four times, request_ip and
 * context.ip.  What it has and can be used stays.  NULL with *why, as a clause: there
 * was none to compute its rudderId.
 */
extern Jsonb *enrich_event(Jsonb *event, const Arrival *arrival, const char **why);

/*
 * The sender's address goes into the context, unless it is there already or there is no
 * place for it.  True with the context to send.  NULL: the event has none.
 */
extern bool enrich_context(const JsonbValue *given, const JsonbValue *ip, JsonbValue *context);

#endif							/* RSWEBHOOK_ENRICH_H */
