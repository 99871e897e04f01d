/*-------------------------------------------------------------------------
 *
 * options.h
 *		What a trigger of ours was told by its arguments.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_OPTIONS_H
#define RSWEBHOOK_OPTIONS_H

#include "utils/rel.h"
#include "utils/reltrigger.h"

#include "api/gateway.h"
#include "api/refusal.h"

typedef struct Option
{
	const char *name;
	const char *value;			/* the default, then what was given */
	const char *const *allowed; /* words, up to NULL; NULL: any */
	bool		given;
} Option;

/* The values of an option that is true or false. */
extern const char *const options_truths[];

/* What an option that is true or false says of it. */
extern Enrichment options_enrichment(const Option *option);

/* The words of the form key=value, from the argument first on; no value is empty. */
extern bool options_read(const Trigger *trigger, int first, Option *options, int count, Refusal *refusal);

/* A column by name; *attnum 0: no name. */
extern bool options_column(Relation rel, const Trigger *trigger, const char *name, int *attnum,
						   Refusal *refusal);

/*
 * Columns by a list of names; a name with a comma, a quote or spaces around it is in
 * double quotes.  listed: of each column, whether it is.
 */
extern bool options_columns(Relation rel, const Trigger *trigger, const Option *option, bool *listed,
							Refusal *refusal);

/* Not on one of our tables that a send itself writes to: it would never end. */
extern bool options_table(Relation rel, const Trigger *trigger, Refusal *refusal);

#endif							/* RSWEBHOOK_OPTIONS_H */
