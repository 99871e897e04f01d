/*-------------------------------------------------------------------------
 *
 * filter_path.h
 *		What the jsonpath of a filter does.
 *
 * While it is asked, the time is looked at only between two steps.  The comparison of
 * two paths is one step, however many values they find: each of one with each of the
 * other; and so is a multiplication, however long the numbers.
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

typedef struct FilterFindings
{
	bool		compares;		/* a path with another one */
	bool		compares_deep;	/* of which one has a .** */
	int			nproducts;		/* multiplications and divisions */
} FilterFindings;

/* More are refused: each one's result may be as long as both of its numbers. */
#define FILTER_MAX_PRODUCTS	16

extern FilterFindings filter_path_look(JsonPath *path);
extern char *filter_path_text(JsonPath *path);

/* Is it one that may be a filter? */
extern bool destination_path_check(JsonPath *path, FieldProblem *problem);

#endif							/* RSWEBHOOK_FILTER_PATH_H */
