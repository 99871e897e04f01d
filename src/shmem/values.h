/*-------------------------------------------------------------------------
 *
 * values.h
 *		What a commit tells the workers.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_SHMEM_VALUES_H
#define RSWEBHOOK_SHMEM_VALUES_H

/* Rows of one destination (0: of any) that a transaction will make visible. */
typedef struct QueuedRange
{
	int32		destination_id;
	uint32		shares;			/* that they may be in; see share.h */
	int64		first_id;
	int64		last_id;
} QueuedRange;

#endif							/* RSWEBHOOK_SHMEM_VALUES_H */
