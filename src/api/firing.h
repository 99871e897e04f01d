/*-------------------------------------------------------------------------
 *
 * firing.h
 *		One call of a trigger of ours: what is sent of its rows, or refused.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_FIRING_H
#define RSWEBHOOK_FIRING_H

#include "commands/trigger.h"
#include "fmgr.h"
#include "nodes/bitmapset.h"

#include "api/send.h"

/* Of the plan that a trigger function makes of a trigger's arguments, once a statement. */
typedef struct FiringPolicy
{
	Oid			owner;			/* by whose rights it sends */
	bool		raises;
	bool		may_fail;		/* types' own functions are called */
	int			destination_column; /* its number; 0: none */
	Enrichment	enrich;
	Bitmapset  *columns;		/* numbers of all that are read */
	SendTrust	trust;			/* what is known so far */
} FiringPolicy;

/* The first member of what a trigger function has of a call. */
typedef struct Firing
{
	TriggerData *trigdata;
	FiringPolicy *policy;
	Sending		sending;

	/* the row's, once it is prepared */
	const char *destination;	/* NULL: none is named */
	Datum		event;			/* 0: none so far */
	Prepared	prepared;
	bool		accepted;
	Refusal		refusal;
} Firing;

/* Is it called by a trigger?  Else an error. */
extern TriggerData *firing_trigger(FunctionCallInfo fcinfo, const char *function);

/* There is no plan: that is refused instead of all its rows.  Returns what the trigger does. */
extern Datum firing_without_plan(TriggerData *trigdata, const Refusal *refusal);

/* False: the transaction is read only, which is refused as a whole. */
extern bool firing_begin(Firing *firing, FunctionCallInfo fcinfo, const char *function);
extern void firing_end(Firing *firing);

/* Raises an error: what is to be sent is nested too deeply. */
extern void firing_error_too_deep(void);

/*
 * Sends an event, or records that it was refused.  prepare makes it and fills in the
 * members above, of which accepted is false so far; it reads only.  size: what its row has
 * at least, in bytes, before anything of it is fetched.  Of one that is too large, name
 * fills in the destination.
 */
extern void firing_send(Firing *firing, Size size, void (*prepare) (void *firing), void (*name) (void *firing));

#endif							/* RSWEBHOOK_FIRING_H */
