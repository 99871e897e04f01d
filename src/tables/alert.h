/*-------------------------------------------------------------------------
 *
 * alert.h
 *		rswebhook.alert: what somebody should be told of.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_ALERT_H
#define RSWEBHOOK_ALERT_H

#include "datatype/timestamp.h"

/* As its column kind has it; the first five are of what lasts. */
typedef enum AlertKind
{
	ALERT_FAILING,
	ALERT_BACKED_OFF,
	ALERT_SECRET,
	ALERT_CERTIFICATE,
	ALERT_SETTINGS,
	ALERT_RECOVERED,			/* clears the first two */
	ALERT_DISABLED,
	ALERT_ABORTED,
	ALERT_EXPIRED
} AlertKind;

typedef struct Alert
{
	AlertKind	kind;
	bool		over;			/* what lasted does so no more */
	int32		destination_id; /* 0: none */
	int64		count;
	TimestampTz since;			/* 0: now */
	int64		event_id;		/* 0: none */
	const char *message;		/* a line without secrets, in any encoding */
} Alert;

/*
 * Write it, and queue what it is told by: all is done at commit.  Returns the line for the log
 * then, palloc'd; NULL: there is nothing to say now.
 */
extern char *alert_write(const Alert *alert);

/*
 * Look for what nobody writes as it happens; so many workers have been missing for a while, -1: that is
 * not known.  The lines, palloc'd, and how many.
 */
extern char **alert_look(int missing, int *count);

/* The database's workers. */
typedef struct Workers
{
	int			missing;
	bool		first;			/* this one is, of those that are there */
	bool		untold;			/* there are alerts that are to be told, some time */
} Workers;

extern Workers alert_workers(void);

/* What lasts at present: of destinations, kinds and since when; palloc'd. */
typedef struct OpenAlert
{
	int32		destination_id;
	AlertKind	kind;
	TimestampTz since;
} OpenAlert;

extern int	alert_load(OpenAlert **alerts);

/* The latest attempts of all, the last one first; palloc'd. */
typedef struct LatestAttempt
{
	int32		destination_id;
	bool		good;
} LatestAttempt;

extern int	alert_load_attempts(LatestAttempt **attempts);

#endif							/* RSWEBHOOK_ALERT_H */
