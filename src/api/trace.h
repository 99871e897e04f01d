/*-------------------------------------------------------------------------
 *
 * trace.h
 *		The trace that an event belongs to.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_TRACE_H
#define RSWEBHOOK_TRACE_H

#include "utils/jsonb.h"

extern char *rswebhook_traceparent; /* setting */

/*
 * The traceparent to be stored beside an event: that of the setting, unless the event has its
 * own; NULL: none.  What is malformed is ignored, with a WARNING, once a transaction.
 */
extern const char *trace_of(Jsonb *event);

#endif							/* RSWEBHOOK_TRACE_H */
