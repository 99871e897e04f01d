/*-------------------------------------------------------------------------
 *
 * inject.h
 *		Places at which a test can stop a process, or have it fail.
 *
 * The moments that matter for what a crash loses or repeats last microseconds;
 * a test that is to kill a process in one of them needs it to wait there.
 * Without -DRSWEBHOOK_INJECTION a place is nothing at all, or one of
 * PostgreSQL's own injection points in a server that was built with those.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_INJECT_H
#define RSWEBHOOK_INJECT_H

#include "base/compat.h"

/* INJECT_EVENT: a place that an event, or a destination, with this id has come to. */
#ifdef RSWEBHOOK_INJECTION
extern void inject_here(const char *place, int64 event_id);
#define INJECT(place)	inject_here(place, 0)
#define INJECT_EVENT(place, event_id)	inject_here(place, event_id)
#else
#define INJECT(place)	server_injection_point("rswebhook-" place)
#define INJECT_EVENT(place, event_id)	INJECT(place)
#endif

#endif							/* RSWEBHOOK_INJECT_H */
