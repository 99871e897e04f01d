/*-------------------------------------------------------------------------
 *
 * directory.h
 *		All destinations, of each as much as it takes to know which take an event.
 *
 * Need a transaction, not in parallel mode.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_DESTINATION_DIRECTORY_H
#define RSWEBHOOK_DESTINATION_DIRECTORY_H

#include "utils/jsonb.h"

#include "destination/values.h"

/* A destination that takes an event. */
typedef struct Taker
{
	int32		destination_id;
	int			parts;			/* how many workers it has (share.h) */
	int64		once_us;		/* so long it does not have a message again; 0: it may */
	int64		kept_us;		/* so long it is known that it has; see api/once.c */
} Taker;

/*
 * Those that take an event on their own account and may have it on the event's, by
 * their ids; alert: it is about ourselves.  In the current memory context.
 */
extern Taker *destination_takers(Jsonb *event, bool alert, int *count);

/* Those that cannot be used; problem: why. */
typedef void (*DestinationUnusable) (int32 id, const char *problem, void *arg);
extern void destination_each_unusable(DestinationUnusable unusable, void *arg);

#endif							/* RSWEBHOOK_DESTINATION_DIRECTORY_H */
