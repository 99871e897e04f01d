/*-------------------------------------------------------------------------
 *
 * queue_states.h
 *		What is kept of a destination itself: its circuit breaker, for whom it works,
 *		a pause, and where its queue begins.
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

/* Likewise; false: it was so already, or that row is another one. */
extern bool queue_disable(int32 destination_id, TransactionId version);

/* All of them, by the id of their destination; palloc'd. */
extern int	queue_load_breakers(StoredBreaker **breakers);

/* Likewise, if it is open. */
extern void queue_save_breaker(int32 destination_id, TransactionId version,
							   const Breaker *breaker);

/*
 * Of all destinations that are there, each perhaps several times, the most trusted ones
 * at the end; palloc'd.
 */
extern int	queue_load_trusted(TrustedUser **trusted);

/*
 * The keys of a destination's part, in place of what the table has of that one of so many;
 * no more than MAX_TRUSTED.
 */
extern void queue_save_trusted(int32 destination_id, int parts, int part, const int64 *keys, int count);

/*
 * What is of no destination, or of as many parts as none has any more where a database
 * has so many workers, or of nobody.
 */
extern void queue_forget_trusted(int workers);

/* The highest id that was drawn for an event; 0: who knows. */
extern int64 queue_last_id(void);

/* All of them; palloc'd. */
extern int	queue_load_floors(Floor **floors);

/* Those of destinations that are gone. */
extern void queue_forget_floors(void);

/*
 * Nothing is left up to floor->after_id, as far as whoever has seen so many rows
 * of the table knows; it is what the table says afterwards.
 */
extern void queue_save_floor(Floor *floor);

#endif							/* RSWEBHOOK_QUEUE_STATES_H */
