/*-------------------------------------------------------------------------
 *
 * trigger.h
 *		rswebhook_trigger(): a table's changes as events.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_TRIGGER_H
#define RSWEBHOOK_TRIGGER_H

#include "utils/rel.h"
#include "utils/reltrigger.h"

#include "api/refusal.h"

/*
 * Are a trigger's arguments, and how it is fired, such that it can work?  *destination:
 * the one that it names, or NULL.
 */
extern bool trigger_options_check(Relation rel, const Trigger *trigger, const char **destination,
								  Refusal *refusal);

#endif							/* RSWEBHOOK_TRIGGER_H */
