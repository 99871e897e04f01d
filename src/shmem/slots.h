/*-------------------------------------------------------------------------
 *
 * slots.h
 *		The workers' slots in shared memory: which are whose.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_SLOTS_H
#define RSWEBHOOK_SLOTS_H

/* settings */
extern int	rswebhook_max_databases;
extern int	rswebhook_workers;	/* of each database; see share.h */

/* ---- any backend ---- */

extern bool slots_available(void);	/* false: not preloaded */

/*
 * WARNING with a hint, once a session, if nothing will be delivered for now: not
 * preloaded, or no worker is here, since there can be no more of them.
 */
extern void slots_warn_undelivered(void);

/* So many max_worker_processes there would have to be for all workers; 0: there are enough, as far as is known. */
extern int	slots_processes_wanted(void);

/*
 * Have the launcher start (or look at) this database's workers.  False: every
 * slot is taken; the launcher looks again once some are free.
 */
extern bool slots_want_workers(Oid database);

/* A database's workers leave, or with InvalidOid all, and others come. */
extern void slots_begin_anew(Oid database);

/* ---- worker ---- */

/* Which of this database's workers this one is. */
extern int	slots_my_share(void);

#endif							/* RSWEBHOOK_SLOTS_H */
