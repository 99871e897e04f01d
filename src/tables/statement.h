/*-------------------------------------------------------------------------
 *
 * statement.h
 *		The statements that the worker runs, and a sender in its place, and how.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_STATEMENT_H
#define RSWEBHOOK_STATEMENT_H

#include "datatype/timestamp.h"

#include "base/compat.h"
#include "tables/values.h"

typedef enum Statement
{
	OWED_DESTINATIONS,
	IS_OWED,
	READ_BY_ID,
	READ_BY_TIME,
	READ_BY_IDS,
	FETCH,
	INSERT_DELIVERIES,
	LOCK_ROWS,
	DELETE_ROWS,
	RESCHEDULE_ROWS,
	PAUSE,
	LOAD_BREAKERS,
	SAVE_BREAKER,
	CLOSE_BREAKER,
	LOAD_TRUSTED,
	SAVE_TRUSTED,
	FORGET_TRUSTED,
	LAST_ID,
	LOAD_FLOORS,
	SAVE_FLOOR,
	FORGET_FLOORS,
	NOTE_MESSAGE,
	FIND_MESSAGE,
	NOTE_MESSAGE_AGAIN,
	FORGET_MESSAGES,
	DISABLE,
	RAISE_ALERT,
	CLEAR_ALERT,
	LOOK_FOR_ALERTS,
	LOOK_AT_WORKERS,
	LOAD_ALERTS,
	LATEST_ATTEMPTS,
	NOTE_TALLY,
	FOLD_TALLY
} Statement;

/*
 * Run a statement, which has to end with this result of SPI's; else a rule is
 * in its place, which is an error.  What it returns is in SPI_tuptable.
 */
extern void statement_execute(Statement statement, Datum *values, const char *nulls,
							  bool read_only, int expected);

/*
 * An error unless all rows are now what the statement, run just before with these
 * parameters, was to make of them.  Of statements that change something.
 */
extern void statement_check(Statement statement, Datum *values);

/* Of what it returned; number: from 0.  A time that is null is 0. */
extern Datum statement_column(int row, int number, bool *null);
extern TimestampTz statement_time(int row, int number);

/* An array parameter of a fixed-length type, none of it null. */
extern Datum statement_array(Datum *values, int count, Oid type);

/* The first four parameters of what looks for claimed rows. */
extern void statement_claimed(const QueueRow **rows, int count, Datum *params);

#endif							/* RSWEBHOOK_STATEMENT_H */
