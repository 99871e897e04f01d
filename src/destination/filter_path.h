/*-------------------------------------------------------------------------
 *
 * filter_path.h
 *		Which jsonpath may be a filter.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_FILTER_PATH_H
#define RSWEBHOOK_FILTER_PATH_H

#include "utils/jsonpath.h"

#include "destination/problem.h"

extern bool destination_path_check(JsonPath *path, FieldProblem *problem);

#endif							/* RSWEBHOOK_FILTER_PATH_H */
