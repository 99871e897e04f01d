/*-------------------------------------------------------------------------
 *
 * queue_states.h
 *		What is kept of a destination itself: its circuit breaker, and a pause.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_QUEUE_STATES_H
#define RSWEBHOOK_QUEUE_STATES_H

#include "tables/values.h"

/*
 * Nothing, if the destination's row is no longer of this version: whoever has changed
 * it since has the last word.
 */
extern void queue_pause(int32 destination_id, TransactionId version);

/* All of them, by the id of their destination; palloc'd. */
extern int	queue_load_breakers(StoredBreaker **breakers);

/* Likewise, if it is open. */
extern void queue_save_breaker(int32 destination_id, TransactionId version,
							   const Breaker *breaker);

#endif							/* RSWEBHOOK_QUEUE_STATES_H */
