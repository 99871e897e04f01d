/*-------------------------------------------------------------------------
 *
 * consent.h
 *		What a user's consent says of a destination, as RudderStack has it.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_DESTINATION_CONSENT_H
#define RSWEBHOOK_DESTINATION_CONSENT_H

#include "utils/jsonb.h"

#include "destination/problem.h"

typedef struct Denied Denied;

/*
 * What an event's context.consentManagement denies; NULL: nothing, or it cannot be
 * read.  In the current memory context; points into the event.
 */
extern Denied *consent_denied(Jsonb *event);

/* Does a column "consent" let an event through that denies this? */
extern bool consent_allows(const Denied *denied, Jsonb *consent);

extern bool destination_consent_check(Jsonb *consent, FieldProblem *problem);

#endif							/* RSWEBHOOK_DESTINATION_CONSENT_H */
