/*-------------------------------------------------------------------------
 *
 * share.h
 *		Which of a database's workers a row of the queue is for.
 *
 * There are rswebhook.workers of them, and each delivers a share of its own.
 * All that one user is owed by one destination is in one share, so that the
 * order is one worker's affair.  Nothing else decides: a row stays in its share
 * whatever becomes of its destination's configuration, and shares change with
 * the number of workers only, which takes a restart of the server.
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

/*
 * The share of a row of so many.  key is its ordering key, or its event's id
 * if it has none.
 */
static inline int
share_of(int32 destination_id, int64 key, int nshares)
{
	uint32		hash;

	if (nshares == 1)
		return 0;
	hash = hash_bytes_uint32((uint32) key ^ (uint32) (key >> 32));
	return hash_combine(hash, hash_bytes_uint32((uint32) destination_id)) % nshares;
}

#endif							/* RSWEBHOOK_SHARE_H */
