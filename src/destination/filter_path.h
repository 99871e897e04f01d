/*-------------------------------------------------------------------------
 *
 * filter_path.h
 *		The jsonpath of a filter, within bounds.
 *
 * A few words can have PostgreSQL's jsonpath use all memory and time there is, in the
 * session of whoever sends, so a path has no more than FILTER_PATH_MS of the processor
 * for an event.  It looks at the time only between two steps, of which the comparison of
 * two paths is one, however many values they find: each of one with each of the other.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_FILTER_PATH_H
#define RSWEBHOOK_FILTER_PATH_H

#include "utils/jsonb.h"
#include "utils/jsonpath.h"

#include "destination/problem.h"

#define FILTER_PATH_MS	100

/* Is it one that may be a filter? */
extern bool destination_path_check(JsonPath *path, FieldProblem *problem);

/* *error: why it could not tell, which counts as no; else as it was.  Begins a subtransaction. */
extern bool filter_path_takes(JsonPath *path, Jsonb *event, char **error);

#endif							/* RSWEBHOOK_FILTER_PATH_H */
