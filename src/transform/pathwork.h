/*-------------------------------------------------------------------------
 *
 * pathwork.h
 *		How long the comparisons of a jsonpath may take.
 *
 * To compare two operands of a jsonpath is one step, in which nothing looks at the time or
 * for a cancel, and which compares each value that one finds with each of the other.  So
 * what that can come to is reckoned beforehand, from what is there to be found.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_PATHWORK_H
#define RSWEBHOOK_PATHWORK_H

#include "transform/pathlook.h"

/*
 * NULL, or why one of its comparisons would take too long of this value.  In the current
 * memory context; looks at all of the value at the most a few times a comparison.
 */
extern char *pathwork_why_not(JsonPath *path, Jsonb *value);

#endif							/* RSWEBHOOK_PATHWORK_H */
