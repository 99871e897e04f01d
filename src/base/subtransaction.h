/*-------------------------------------------------------------------------
 *
 * subtransaction.h
 *		A step that may fail without its transaction.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_SUBTRANSACTION_H
#define RSWEBHOOK_SUBTRANSACTION_H

#include "utils/elog.h"

/*
 * NULL, or its error, once all that it had done and held is undone.  In the current
 * memory context, which the step has as well.  Not in parallel mode.
 */
extern ErrorData *subtransaction_try(void (*step) (void *arg), void *arg);

#endif							/* RSWEBHOOK_SUBTRANSACTION_H */
