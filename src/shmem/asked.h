/*-------------------------------------------------------------------------
 *
 * asked.h
 *		What a session asks a worker: which requests it has in flight.
 *
 * Nothing is noted for that while nobody asks.  The question lies in the worker's slot, and
 * its latch is set; the answer, a page of it, is there soon after.  Whoever wants more asks
 * for the next page.  One session at a time asks a worker; another one waits for its turn.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_ASKED_H
#define RSWEBHOOK_ASKED_H

#include "shmem/values.h"

/* Has anybody asked?  For each cycle: no lock is taken if not. */
extern bool asked(Question *question);

/* The answer to that, at most SHOWN_REQUESTS. */
extern void asked_answer(const Question *question, const ShownRequest *requests, int count);

#endif							/* RSWEBHOOK_ASKED_H */
