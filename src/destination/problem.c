/*-------------------------------------------------------------------------
 *
 * problem.c
 *		What is wrong with a column of rswebhook.destination, in words.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "base/encoding.h"
#include "destination/problem.h"

/* Always false, so that a check can return it. */
bool
problem_set(FieldProblem *problem, const char *column, const char *value,
			const char *detail, const char *hint)
{
	problem->column = column;
	problem->part = NULL;
	problem->value = value != NULL ? encoding_quotable(value, strlen(value)) : NULL;
	problem->detail = detail;
	problem->hint = hint;
	return false;
}

/* Likewise, of one part of a column's value. */
bool
problem_set_part(FieldProblem *problem, const char *column, const char *part,
				 const char *detail, const char *hint)
{
	problem_set(problem, column, NULL, detail, hint);
	problem->part = part;
	return false;
}

/* "the name is empty" to "The name is empty." */
char *
problem_sentence(const char *clause)
{
	char	   *text = psprintf("%s.", clause);

	text[0] = pg_toupper((unsigned char) text[0]);
	return text;
}
