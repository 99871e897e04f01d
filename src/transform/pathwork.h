/*-------------------------------------------------------------------------
 *
 * pathwork.h
 *		What a jsonpath does, and how long its comparisons may take.
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

#include "utils/jsonb.h"
#include "utils/jsonpath.h"

typedef struct PathFindings
{
	bool		compares;		/* what may be several values, with something */
	bool		compares_deep;	/* two of these, of which one has a .** */
	int			nproducts;		/* multiplications and divisions */
	int			ndeep;			/* .** */
	bool		has_variable;
	bool		is_plain;		/* one name or subscript after the other */
} PathFindings;

extern PathFindings pathwork_look(JsonPath *path);

/*
 * NULL, or why one of its comparisons would take too long of this value.  In the current
 * memory context; looks at all of the value at the most once a comparison.
 */
extern char *pathwork_why_not(JsonPath *path, Jsonb *value);

#endif							/* RSWEBHOOK_PATHWORK_H */
