/*-------------------------------------------------------------------------
 *
 * share.h
 *		Which of a database's workers a row of the queue is for.
 *
 * There are rswebhook.workers of them.  A destination has one, which follows from
 * its id, so that a single process knows what it has in flight, how fast that may
 * go, and whether it works.  One that is too much for a core has several, the next
 * ones after that, by rswebhook.destination.workers: then each has a part of its
 * users.  All that one user is owed by one destination is in one part, so that the
 * order is one worker's affair.
 *
 * How many workers each destination has is the map.  Workers that are there at the
 * same time have begun with the same one (worker_slot_join()); when it changes,
 * they leave, and others begin with the new one.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_SHARE_H
#define RSWEBHOOK_SHARE_H

#include "common/hashfn.h"

/* Sets of shares are bits of a uint32. */
#define MAX_SHARES		32
#define ALL_SHARES		PG_UINT32_MAX

#define SHARE_BIT(share) ((uint32) 1 << (share))

/* Maps are told from each other by hashes. */
typedef uint64 ShareMap;

#define NO_SHARE_MAP	((ShareMap) 0)
#define PLAIN_SHARE_MAP	((ShareMap) 1)	/* each destination has one worker */

/* With one more destination, the ids going up. */
static inline ShareMap
share_map_add(ShareMap map, int32 destination_id, int parts)
{
	if (parts == 1)
		return map;				/* nearly always */
	map = hash_bytes_uint32_extended((uint32) destination_id, map);
	map = hash_bytes_uint32_extended((uint32) parts, map);
	return map == NO_SHARE_MAP ? PLAIN_SHARE_MAP + 1 : map;
}

/* How many workers a destination has that may have so many, of nshares. */
static inline int
share_parts(int workers, int nshares)
{
	return Max(1, Min(workers, nshares));
}

/* key: the row's ordering key, or its event's id if it has none. */
static inline int
share_part(int64 key, int parts)
{
	if (parts <= 1)
		return 0;
	return hash_bytes_uint32((uint32) key ^ (uint32) (key >> 32)) % parts;
}

/* The share that a part of a destination is in. */
static inline int
share_of(int32 destination_id, int part, int nshares)
{
	return ((uint32) destination_id % nshares + part) % nshares;
}

/* Which part of it is in this share; -1: none. */
static inline int
share_part_in(int32 destination_id, int parts, int share, int nshares)
{
	int			part = (share + nshares - share_of(destination_id, 0, nshares)) % nshares;

	return part < parts ? part : -1;
}

#endif							/* RSWEBHOOK_SHARE_H */
