/*-------------------------------------------------------------------------
 *
 * cache.h
 *		The destinations of this database, reread after any change of their table.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_DESTINATION_CACHE_H
#define RSWEBHOOK_DESTINATION_CACHE_H

#include "base/clock.h"
#include "destination/values.h"
#include "shmem/share.h"

/*
 * The cache is this process's own, reread after any change of the table
 * (relcache invalidation, so at commit everywhere).  Pointers are good until
 * the next call of any of these functions, which somebody's trigger may make,
 * too.  Need a transaction.
 */
extern Destination *destination_by_name(const char *name);
extern void destination_all(Destination ***list, int *count);

/* Grows whenever the cache was reread: compare to know that things changed. */
extern uint64 destination_generation(void);

/* How many workers share what each is owed (share.h), as of the last of these calls. */
extern ShareMap destination_map(void);
extern int	destination_parts(const Destination *destination);

/* When to look again, since a row could not be read; INSTANT_NEVER: all could. */
extern Instant destination_again_at(void);

/*
 * For a process that holds on to destinations, as the worker does over many
 * transactions: after destination_keep_replaced(), once a process, pointers
 * are good until it calls destination_free_replaced(), when it must hold none
 * but those of the last call.
 */
extern void destination_keep_replaced(void);
extern void destination_free_replaced(void);

/* Have the next call reread the table, whether or not it has heard of a change. */
extern void destination_forget(void);

#endif							/* RSWEBHOOK_DESTINATION_CACHE_H */
