/*-------------------------------------------------------------------------
 *
 * session.h
 *		The worker's database session: its settings and its transactions.
 *
 * A transaction is short and is never open while the worker waits for anything
 * but the database.  It runs as the extension's owner in a security-restricted
 * context, connected to SPI and with a snapshot.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_SESSION_H
#define RSWEBHOOK_SESSION_H

extern int	rswebhook_synchronous_commit;	/* setting; SyncCommitLevel */

/* Once, before the first transaction: timeouts and the session's settings. */
extern void session_init(void);
extern void session_apply_settings(void);

/*
 * False, with no transaction open, if the extension is not there (any more),
 * or is another one than that of the first transaction.
 */
extern bool session_begin(const char *what);
extern void session_commit(void);

/* This transaction waits for locks hardly at all; or all do, from now on. */
extern void session_wait_little(void);
extern void session_set_impatient(bool impatient);

/*
 * What is left to do in this transaction, until it is limited again, takes so much
 * of the processor at the most, or a little more; how long it takes for that is up
 * to the machine.
 */
extern void session_limit_rest(int64 us);

/*
 * Before the worker is idle: autovacuum, for one, should hear of what the last
 * transactions did before there is another one.
 */
extern void session_report_statistics(void);

/* After an error: whatever is open is rolled back. */
extern void session_abort(void);

/* Do it; the error that ended it, or NULL. */
extern ErrorData *session_try(void (*work) (int limit), int limit);

/*
 * The error that a PG_CATCH has caught, in memory that is there already as a rule;
 * best after session_abort(), which gives memory back.  It and that of
 * session_try() are good until either is called again.
 */
extern ErrorData *session_error(void);

/*
 * May the same go well a moment later, as whatever was in the way passes by
 * itself: a lock, a deadlock, a conflict with another transaction, somebody who
 * has cancelled it?  Of the error for which session_abort() was called last.
 */
extern bool session_error_passes(int sqlerrcode);

/* Has that transaction taken too long, other than by being stopped? */
extern bool session_overran(void);

/* From a signal handler: the worker is to leave, so end what takes long. */
extern void session_hurry(void);

/* Has session_begin() said false? */
extern bool session_extension_gone(void);

/* Is the extension another one than that of the first transaction? */
extern bool session_extension_replaced(void);

#endif							/* RSWEBHOOK_SESSION_H */
