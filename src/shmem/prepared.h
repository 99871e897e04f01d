/*-------------------------------------------------------------------------
 *
 * prepared.h
 *		What prepared transactions will have to tell, once they are committed.
 *
 * Of a transaction that was prepared since the server's start all that matters
 * is kept, by its gid, as long as there is room; nothing is kept of one that does
 * not concern us.  Of the others prepared_may_lack() says that there are any.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_PREPARED_H
#define RSWEBHOOK_PREPARED_H

#include "access/xact.h"
#include "utils/snapshot.h"

#include "shmem/share.h"
#include "shmem/values.h"

/* What a transaction has to tell the workers. */
typedef struct PreparedNews
{
	TransactionId xid;
	bool		changed;		/* more than events that were queued */
	bool		new_database;
	ShareMap	map;			/* of the ranges' shares */
	int			nranges;
	QueuedRange ranges[MAX_PENDING_RANGES];
} PreparedNews;

/*
 * This transaction is prepared now, as gid; NULL: not by a command, so that its
 * name is not known.  Never fails.
 */
extern void prepared_keep(const char *gid, const PreparedNews *news);

/*
 * COMMIT PREPARED is about to be run: from now on, the worker looks whether its
 * snapshot sees the transaction.  False: nothing is kept of it.
 */
extern bool prepared_will_end(const char *gid);

/* May there be prepared transactions of which we know nothing? */
extern bool prepared_may_lack(void);

/* Of this one? */
extern bool prepared_lacks(TransactionId xid);

/*
 * What one has to tell that was prepared as gid (NULL: not by a command) and is
 * not any more, be it committed or not; to be forgotten once that is told.
 */
extern bool prepared_next_ended(const char *gid, PreparedNews *news);
extern void prepared_forget(TransactionId xid);

/*
 * Ranges of this worker's share that a snapshot sees, and that the worker has
 * not had from here yet; at most so many, the last one stands for more.  Returns
 * how many.
 */
extern int	prepared_untold(Snapshot snapshot, QueuedRange *ranges, int most);

/* ---- launcher.c: no transaction of this server has been prepared yet ---- */
extern void prepared_note_start(void);

/* ---- shmem.c ---- */
extern Size prepared_size(void);
extern void prepared_startup(void);

#endif							/* RSWEBHOOK_PREPARED_H */
