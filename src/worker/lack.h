/*-------------------------------------------------------------------------
 *
 * lack.h
 *		What the worker lacks to send with, said in the log and shown by
 *		rswebhook.workers().
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_LACK_H
#define RSWEBHOOK_LACK_H

#include "base/clock.h"

/* A request was not sent for want of this; unsupported: which is an option of libcurl's. */
extern void lack_note(const char *what, bool unsupported, Instant now);

/* Nothing waits for that any more, if anything did. */
extern void lack_over(void);

#endif							/* RSWEBHOOK_LACK_H */
