/*-------------------------------------------------------------------------
 *
 * problem.h
 *		What is wrong with a column of rswebhook.destination, in words.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_PROBLEM_H
#define RSWEBHOOK_PROBLEM_H

/* What is wrong with a column.  No string holds a secret. */
typedef struct FieldProblem
{
	const char *column;
	const char *part;			/* which part of it, such as header "x"; or NULL */
	const char *value;			/* the value; or NULL if it is secret or long */
	const char *detail;			/* a sentence */
	const char *hint;			/* a sentence, or NULL */
} FieldProblem;

/* For the rules: remember a problem and return false. */
extern bool problem_set(FieldProblem *problem, const char *column,
						const char *value, const char *detail, const char *hint);
extern bool problem_set_part(FieldProblem *problem, const char *column,
							 const char *part, const char *detail, const char *hint);
extern char *problem_sentence(const char *clause);

#endif							/* RSWEBHOOK_PROBLEM_H */
