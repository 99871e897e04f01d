/*-------------------------------------------------------------------------
 *
 * filter_match.h
 *		The jsonpath of a filter is asked, within bounds.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_FILTER_MATCH_H
#define RSWEBHOOK_FILTER_MATCH_H

#include "utils/jsonb.h"
#include "utils/jsonpath.h"

/*
 * ms: of the processor that it may take; *took_us: that it took.  *error: why it could not tell, which
 * counts as no; else as it was.  Begins a subtransaction.
 */
extern bool filter_match(JsonPath *path, Jsonb *event, int ms, int64 *took_us, char **error);

#endif							/* RSWEBHOOK_FILTER_MATCH_H */
