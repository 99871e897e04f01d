/*-------------------------------------------------------------------------
 *
 * trigger_check.h
 *		Can a trigger of ours work?
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_TRIGGER_CHECK_H
#define RSWEBHOOK_TRIGGER_CHECK_H

#include "postgres_ext.h"

/*
 * Both are told what a command has done while it has the locks for it, and not what it
 * says: a name may mean another table by then.  What it did is not visible yet.
 */

/* An error if the trigger that was made, or replaced, calls one of ours, and cannot work. */
extern void trigger_check_created(Oid trigger);

/*
 * An error if the table has another owner now, by whose rights its triggers would send,
 * and whoever gives it may not send everywhere himself.
 */
extern void trigger_check_given(Oid table);

#endif							/* RSWEBHOOK_TRIGGER_CHECK_H */
