/*-------------------------------------------------------------------------
 *
 * fields.h
 *		What destination.c (rows, cache), its rules (destination_check.c,
 *		destination_json.c, auth.c) and what is shown of it
 *		(destination_show.c) share.
 *
 * The same rules serve the trigger, which refuses a row with an error, and
 * the cache, which keeps a row that came past the trigger but marks it as
 * unusable.  Nothing here raises an error for what a row says.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_DESTINATION_H
#define RSWEBHOOK_DESTINATION_H

#include "destination/values.h"

#include "access/htup.h"
#include "access/tupdesc.h"
#include "utils/array.h"

/* The columns that have rules of their own; NULL is SQL's null. */
typedef struct DestinationFields
{
	char	   *name;
	char	   *url;
	char	   *method;
	Jsonb	   *headers;		/* replaced when it had to be normalised */
	ArrayType  *types;
	ArrayType  *events;
	char	   *ca_cert;
	char	   *client_cert;
	char	   *client_key;
	char	   *proxy;
	char	   *auth_type;
	char	   *auth_username;
	char	   *auth_password;
	char	   *auth_token;
	char	   *auth_header;
	ArrayType  *allowed_hosts;
	Jsonb	   *signing_secrets;	/* likewise */
	Jsonb	   *status_outcomes;
} DestinationFields;

/* What is wrong with a column.  No string holds a secret. */
typedef struct FieldProblem
{
	const char *column;
	const char *part;			/* which part of it, such as header "x"; or NULL */
	const char *value;			/* the value; or NULL if it is secret or long */
	const char *detail;			/* a sentence */
	const char *hint;			/* a sentence, or NULL */
} FieldProblem;

/* An error if somebody has given a column that is read another type. */
extern void destination_columns_check(TupleDesc desc);

extern void destination_fields_read(HeapTuple tuple, TupleDesc desc,
									DestinationFields *fields);
extern bool destination_fields_check(DestinationFields *fields,
									 FieldProblem *problem);
extern bool destination_ranges_check(HeapTuple tuple, TupleDesc desc,
									 FieldProblem *problem);
extern double destination_number(HeapTuple tuple, TupleDesc desc, const char *column);

/* For the rules: remember a problem and return false. */
extern bool set_problem(FieldProblem *problem, const char *column,
						const char *value, const char *detail, const char *hint);
extern bool set_part_problem(FieldProblem *problem, const char *column,
							 const char *part, const char *detail, const char *hint);
extern char *sentence(const char *clause);

/* A month has 30 days, a day 24 hours. */
extern double interval_us(const Interval *interval);

/* The longest that an event may be told to wait, 36500 days. */
#define MAX_LIFETIME_US	(36500.0 * USECS_PER_DAY)

/* destination_json.c */
extern bool check_headers(Jsonb **headers, FieldProblem *problem);
extern bool check_signing_secrets(Jsonb **secrets, FieldProblem *problem);
extern bool check_status_outcomes(Jsonb *map, FieldProblem *problem);

/* Of a value that has passed the check. */
extern void signing_secrets_read(Jsonb *secrets, SigningSecret **list, int *count);

/* Of a value that has passed the check: sorted by status, none twice. */
extern void status_outcomes_read(Jsonb *outcomes, StatusOutcome **list,
								 int *count);

/* Make the configs for the wire and for people. */
extern void destination_configs(Destination *dest, const Jsonb *headers);

/* What the current user may see of it. */
extern const TransformConfig *destination_visible_config(const Destination *dest);

/* The method that is spelled so, whatever the case; NULL: none. */
extern const char *method_by_name(const char *name);

#endif							/* RSWEBHOOK_DESTINATION_H */
