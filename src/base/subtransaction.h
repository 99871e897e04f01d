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
 * NULL, or its error, once all that it had done and held is undone.  In a memory
 * context below the current one, which the step has as well.  Not in parallel mode.
 */
extern ErrorData *subtransaction_try(void (*step) (void *arg), void *arg);

/*
 * What an error is about, if not about the step: the whole transaction, or what the
 * server lacks.  Whoever does not know better has it go on (ReThrowError()).
 */
extern bool subtransaction_is_about_all(int sqlerrcode);
extern bool subtransaction_is_lack(int sqlerrcode);

#endif							/* RSWEBHOOK_SUBTRANSACTION_H */
