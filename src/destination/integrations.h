/*-------------------------------------------------------------------------
 *
 * integrations.h
 *		An event's own say in who receives it.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_DESTINATION_INTEGRATIONS_H
#define RSWEBHOOK_DESTINATION_INTEGRATIONS_H

#include "utils/jsonb.h"

typedef struct NamedSay
{
	const char *name;			/* not terminated */
	int			len;
	bool		allowed;
} NamedSay;

typedef struct Integrations
{
	bool		allowed;		/* for all that are not named */
	NamedSay   *named;			/* may be no destinations at all */
	int			nnamed;
} Integrations;

/* In the current memory context; points into the event. */
extern void integrations_read(Jsonb *event, Integrations *said);

#endif							/* RSWEBHOOK_DESTINATION_INTEGRATIONS_H */
