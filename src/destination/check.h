/*-------------------------------------------------------------------------
 *
 * check.h
 *		What the columns of rswebhook.destination may hold.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_CHECK_H
#define RSWEBHOOK_CHECK_H

#include "destination/fields.h"
#include "destination/problem.h"

/*
 * Nothing here raises an error for what a row says.  True if it can be used;
 * fields are read, and brought into a form of ours where there is one.
 */
extern bool destination_fields_check(HeapTuple tuple, TupleDesc desc,
									 DestinationFields *fields,
									 FieldProblem *problem);
extern bool destination_ranges_check(HeapTuple tuple, TupleDesc desc,
									 FieldProblem *problem);
extern bool destination_names_check(const char *column, ArrayType *names,
									FieldProblem *problem);

/*
 * NULL, or a sentence that says why this is no proxy's URL, or neither a
 * certificate nor a key, and a hint.
 */
extern const char *destination_proxy_problem(char **proxy, const char **hint);
extern const char *destination_pem_problem(const char *pem, bool is_key, const char **hint);

/*
 * By whose host and scheme the URLs of events are judged: the URL, or of a template the
 * default; NULL: it has none.
 */
extern char *destination_origin(const char *url);

extern double destination_number(HeapTuple tuple, TupleDesc desc, const char *column);

/* The longest that an event may be told to wait, 36500 days. */
#define MAX_LIFETIME_US	(36500.0 * USECS_PER_DAY)

#endif							/* RSWEBHOOK_CHECK_H */
