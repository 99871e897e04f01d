/*-------------------------------------------------------------------------
 *
 * queue_gone.h
 *		Rows of the queue that a statement deletes.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_QUEUE_GONE_H
#define RSWEBHOOK_QUEUE_GONE_H

#include "utils/reltrigger.h"

/*
 * Are these triggers, which may be NULL, but those of ours that tell of it?  Who changes a
 * row without a statement tells by himself, or need not.
 */
extern bool queue_gone_is_all(const TriggerDesc *triggers);

#endif							/* RSWEBHOOK_QUEUE_GONE_H */
