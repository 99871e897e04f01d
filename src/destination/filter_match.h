/*-------------------------------------------------------------------------
 *
 * filter_match.h
 *		The jsonpath of a filter is asked, within bounds.
 *
 * A few words can have PostgreSQL's jsonpath use all memory and time there is, in the
 * session of whoever sends, so a path has no more than FILTER_MATCH_MS of the processor
 * for an event.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_FILTER_MATCH_H
#define RSWEBHOOK_FILTER_MATCH_H

#include "utils/jsonb.h"
#include "utils/jsonpath.h"

#define FILTER_MATCH_MS	100

/* *error: why it could not tell, which counts as no; else as it was.  Begins a subtransaction. */
extern bool filter_match(JsonPath *path, Jsonb *event, char **error);

#endif							/* RSWEBHOOK_FILTER_MATCH_H */
