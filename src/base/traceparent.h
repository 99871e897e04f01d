/*-------------------------------------------------------------------------
 *
 * traceparent.h
 *		A W3C traceparent: version, trace, span and flags, as
 *		00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_TRACEPARENT_H
#define RSWEBHOOK_TRACEPARENT_H

#include "utils/jsonb.h"

/* As it is made here, with the NUL. */
#define TRACEPARENT_SIZE	56

/* May it be gone on from?  As the recommendation says, also of a later version. */
extern bool traceparent_is_valid(const char *text, int len);

/*
 * That in the event's context; NULL: there is none, or *malformed, which it is also if it
 * is no string.  It points into the event, and is not ended by a NUL.
 */
extern const char *traceparent_of_event(Jsonb *event, bool *malformed);

/* The same trace and flags (those that are known), another span, which is not 0. */
extern void traceparent_child(const char *parent, uint64 span, char *child);

#endif							/* RSWEBHOOK_TRACEPARENT_H */
