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

#include "compat.h"

#ifdef RSWEBHOOK_INJECTION
extern void inject_here(const char *place);
#define INJECT(place)	inject_here(place)
#else
#define INJECT(place)	server_injection_point("rswebhook-" place)
#endif

#endif							/* RSWEBHOOK_INJECT_H */
