/*-------------------------------------------------------------------------
 *
 * queue_sweep.h
 *		Deleting old events from a part of the ring in which others are owed.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_QUEUE_SWEEP_H
#define RSWEBHOOK_QUEUE_SWEEP_H

/*
 * Delete events of the next piece of a part that are older than that and owed to
 * nobody.  False at its end, after which the part rests for an eighth of that; then it is
 * said what is kept.
 */
extern bool queue_sweep(int ring_part, Oid relid, const char *partition, int64 age_us);
extern bool queue_sweep_is_on(int ring_part);
extern bool queue_sweep_rests(int ring_part, int64 age_us);

#endif							/* RSWEBHOOK_QUEUE_SWEEP_H */
