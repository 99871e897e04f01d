/*-------------------------------------------------------------------------
 *
 * sender.h
 *		Where a role may send to.
 *
 * Who has EXECUTE on a sending function may send to each destination, unless he has
 * it by rswebhook_grant_send(): then to those only that it was called for.  Need a
 * transaction, not in parallel mode.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_SENDER_H
#define RSWEBHOOK_SENDER_H

#include "postgres_ext.h"

/* A role that sends by a function. */
typedef struct Sender
{
	Oid			function;
	Oid			role;
	bool		everywhere;		/* else where one of these may */
	int			ngranted;
	Oid		   *granted;		/* roles whose rights it has; of the current memory context */
} Sender;

/*
 * A role that was never granted anything, the owner of a table for which somebody else
 * made a trigger, is not bound to any: who made it has been asked.
 */
extern Sender sender_of(Oid function, Oid role);

/* Goes up when rights, or the table, may have become other ones. */
extern uint64 sender_changes(void);

extern bool sender_may_send(const Sender *sender, int32 destination_id);

#endif							/* RSWEBHOOK_SENDER_H */
