/*-------------------------------------------------------------------------
 *
 * once.h
 *		A message is sent to a destination once in a while only.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_ONCE_H
#define RSWEBHOOK_ONCE_H

#include "api/accept.h"

/*
 * How long a message is not sent again to those that take it: as the sender says
 * (NULL: nothing), else as each destination does.  False: the event has no messageId
 * by which it could be known again, although the sender asks for that.
 */
extern bool once_prepare(const Interval *asked, Prepared *prepared, Refusal *refusal);

/*
 * The takers that have not had it of late, which are noted to have it as event_id
 * from now on; *count: of these.  If it is 0, *first is the event that had it.
 */
extern Taker *once_takers(const Prepared *prepared, int64 event_id, int *count, int64 *first);

#endif							/* RSWEBHOOK_ONCE_H */
