/*-------------------------------------------------------------------------
 *
 * filter_path.c
 *		Which jsonpath may be a filter.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "destination/filter_path.h"
#include "transform/pathquery.h"

bool
destination_path_check(JsonPath *path, FieldProblem *problem)
{
	PathFindings findings = pathlook_at(path);

	if (findings.nproducts > PATHQUERY_MAX_PRODUCTS)
		return problem_set(problem, "filter", NULL,
						   psprintf("It has more than %d multiplications and divisions.", PATHQUERY_MAX_PRODUCTS), NULL);
	if (!findings.compares_deep)
		return true;
	return problem_set(problem, "filter",
					   pathquery_text(path),
					   "It compares two paths, of which one has a \".**\".",
					   "Name the keys instead, or compare with a value.");
}
