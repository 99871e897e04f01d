/*-------------------------------------------------------------------------
 *
 * trigger_names.h
 *		Which triggers are ours, and what they name.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_TRIGGER_NAMES_H
#define RSWEBHOOK_TRIGGER_NAMES_H

#include "utils/rel.h"

typedef enum TriggerFunction
{
	NOT_OURS,
	OUR_TRIGGER,				/* rswebhook_trigger() */
	OUR_OUTBOX					/* rswebhook_outbox() */
} TriggerFunction;

/* By the symbol that a function is, in our library. */
extern TriggerFunction trigger_names_function(Oid function);

/* InvalidOid: there is no such table. */
extern Oid	trigger_names_owner_of(Oid table);

/*
 * By whose rights a trigger sends: the owner of the table that it was made for, which for
 * a partition's may be one above.
 */
extern Oid	trigger_names_owner(Relation rel, Oid trigger);

/* That on the partitioned table for which a partition's trigger was made. */
extern Oid	trigger_names_original(Oid trigger);

/*
 * The triggers of the database that name a destination, as a sentence; NULL: none does.
 * In the current memory context.
 */
extern char *trigger_names_of(const char *destination);

#endif							/* RSWEBHOOK_TRIGGER_NAMES_H */
