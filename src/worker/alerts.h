/*-------------------------------------------------------------------------
 *
 * alerts.h
 *		What somebody is to be told of, on its way into rswebhook.alert.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_ALERTS_H
#define RSWEBHOOK_ALERTS_H

#include "base/clock.h"
#include "tables/alert.h"
#include "tables/values.h"

/* settings */
extern int	rswebhook_alert_failures;
extern int	rswebhook_alert_interval;	/* seconds */
extern int	rswebhook_alert_queue_age;	/* seconds; 0: none is old */

/* Once a process. */
extern void alerts_init(void);

/*
 * In the transaction of session_begin() that records what they are about: from begin to write, and
 * committed after it, when the log is told.  Without that, the next begin takes it all back.
 * What cannot be written now is none of what is recorded with it, and waits.
 */
extern void alerts_begin(void);
extern void alerts_write(void);
extern void alerts_committed(void);

/* Between begin and write: one more. */
extern void alerts_add(const Alert *alert);

/*
 * Likewise, what became of an event, once its row has its fate.  Returns since when there has been nothing but
 * failures, of a destination of which that is told; NO_TIME: it is none.
 */
extern TimestampTz alerts_add_outcome(const Outcome *outcome);

/* At any time: to be written in a transaction of its own, soon. */
extern void alerts_note(const Alert *alert);

/* A secret is not to be had, or (NULL) it is; nothing, if that is known. */
extern void alerts_note_secret(int32 destination_id, const char *why);

/* Something of the settings does not fit, or (NULL) all does. */
extern void alerts_note_settings(const char *why);

/* What lasts, as the table has it, of destinations that are this worker's; in a transaction. */
extern void alerts_load(void);

/* And how many attempts have failed in a row, as far as the latest ones tell. */
extern void alerts_load_attempts(void);

/* ---- watch.c ---- */

/* Are there any that were noted?  Write so many, between begin and committed. */
extern bool alerts_waiting(void);
extern void alerts_write_waiting(int limit);

/* A line for the log, likewise. */
extern void alerts_add_line(const char *line);

#endif							/* RSWEBHOOK_ALERTS_H */
