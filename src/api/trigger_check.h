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

#include "nodes/parsenodes.h"

/* An error if the trigger that was just made calls one of ours, and cannot work. */
extern void trigger_check_created(const CreateTrigStmt *statement);

/*
 * An error if a command gives a table to another owner, by whose rights its triggers
 * would send then, and whoever gives it may not send everywhere himself.
 */
extern void trigger_check_given(Node *statement);

#endif							/* RSWEBHOOK_TRIGGER_CHECK_H */
