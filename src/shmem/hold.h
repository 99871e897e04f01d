/*-------------------------------------------------------------------------
 *
 * hold.h
 *		Keeping a database free of workers, for a command that needs it alone.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_HOLD_H
#define RSWEBHOOK_HOLD_H

/*
 * Keep a database free of workers until the transaction ends, or the subtransaction
 * if that is rolled back; waits, interruptibly, until the present ones have gone.  dropping: if the
 * transaction commits, the database is no more.
 */
extern void hold_database(Oid database, bool dropping);

/* The transaction that held databases has ended. */
extern void hold_release(bool committed);

#endif							/* RSWEBHOOK_HOLD_H */
