/*-------------------------------------------------------------------------
 *
 * watch.h
 *		What is to be told of and nobody records: looked for now and then.
 *
 * All of these must be called outside of a transaction.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_WATCH_H
#define RSWEBHOOK_WATCH_H

#include "base/clock.h"

/* Once the destinations are known. */
extern void watch_begin(void);

/* Look, if it is time, and write what waits to be told. */
extern void watch_run(Instant now);
extern Instant watch_due_at(void);

/* Something has happened: look within a minute; or, as somebody has told of it, soon. */
extern void watch_note_news(Instant now, bool soon);

/* A setting that does not fit, in words; NULL: it does. */
extern void watch_note_room(const char *problem);

#endif							/* RSWEBHOOK_WATCH_H */
