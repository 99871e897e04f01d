/*-------------------------------------------------------------------------
 *
 * fields.h
 *		The fields of a row of rswebhook.destination, as they are.
 *
 * The same rules serve the trigger, which refuses a row with an error, and
 * the cache, which keeps a row that came past the trigger but marks it as
 * unusable.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_FIELDS_H
#define RSWEBHOOK_FIELDS_H

#include "access/htup.h"
#include "access/tupdesc.h"
#include "datatype/timestamp.h"
#include "utils/array.h"
#include "utils/jsonb.h"
#include "utils/jsonpath.h"

#include "destination/problem.h"
#include "transform/mapping.h"

typedef struct Row
{
	HeapTuple	tuple;
	TupleDesc	desc;
} Row;

/*
 * The columns that have rules of their own; NULL is SQL's null.  Where a column
 * holds hosts, those that are not ASCII become so when they are checked.
 */
typedef struct DestinationFields
{
	bool		hosts_changed;	/* some did, in one of the columns marked so * */
	char	   *name;
	char	   *url;			/* * */
	char	   *method;
	Jsonb	   *headers;		/* replaced when it had to be normalised */
	ArrayType  *types;
	ArrayType  *events;
	ArrayType  *excluded_events;
	JsonPath   *filter;
	Jsonb	   *consent;
	char	   *ca_cert;
	char	   *client_cert;
	char	   *client_key;
	char	   *proxy;			/* * */
	char	   *no_proxy;		/* * */
	char	   *auth_type;
	char	   *auth_username;
	char	   *auth_password;
	char	   *auth_token;
	char	   *auth_header;
	ArrayType  *allowed_hosts;	/* * */
	Jsonb	   *signing_secrets;	/* likewise */
	Jsonb	   *mapping[MAPPING_LISTS];
	char	   *format;
	char	   *xml_root;
	Jsonb	   *status_outcomes;
} DestinationFields;

/*
 * An error if somebody has taken away or renamed a column, or given it another
 * type.  All else here is for tables that have passed.
 */
extern void destination_columns_check(TupleDesc desc);

/* Likewise, in one line; NULL: it has passed. */
extern char *fields_columns_problem(TupleDesc desc);

/* As SPI_fnumber(), and faster; the name is a constant. */
extern int	fields_number(TupleDesc desc, const char *column);

/* Nulls where the script allows none, whatever has become of its constraints. */
extern bool destination_column_required(const char *name);
extern bool destination_nulls_check(HeapTuple tuple, TupleDesc desc,
									FieldProblem *problem);

/* Values that are larger than any destination has use for. */
extern bool destination_sizes_check(HeapTuple tuple, TupleDesc desc,
									FieldProblem *problem);

/*
 * A column; NULL, 0 or false for null.  What is too large reads as null, here
 * and below, and never gets into memory.
 */
extern char *fields_text(const Row *row, const char *column);
extern Jsonb *fields_jsonb(const Row *row, const char *column);
extern JsonPath *fields_jsonpath(const Row *row, const char *column);
extern ArrayType *fields_array(const Row *row, const char *column);
extern int32 fields_int(const Row *row, const char *column);
extern bool fields_bool(const Row *row, const char *column);

extern void destination_fields_read(HeapTuple tuple, TupleDesc desc,
									DestinationFields *fields);

/* A month has 30 days, a day 24 hours. */
extern double fields_interval_us(const Interval *interval);

/* Of the column deduplicate, of a row that nobody has checked. */
extern int64 destination_window(const Interval *interval);

#endif							/* RSWEBHOOK_FIELDS_H */
