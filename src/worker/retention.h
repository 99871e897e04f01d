/*-------------------------------------------------------------------------
 *
 * retention.h
 *		When the rings' parts are looked at that may be past the retention.
 *
 * Each in a transaction of its own, so these must be called outside of one.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_RETENTION_H
#define RSWEBHOOK_RETENTION_H

#include "base/clock.h"

/*
 * Empty a part that is past the retention, if it is time to look.  The
 * database's first worker does, for all: it is never time in the others.
 */
extern void retention_run(Instant now);
extern Instant retention_due_at(void);

/* Settings have changed. */
extern void retention_reload(void);

#endif							/* RSWEBHOOK_RETENTION_H */
