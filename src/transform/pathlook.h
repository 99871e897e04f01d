/*-------------------------------------------------------------------------
 *
 * pathlook.h
 *		What a jsonpath does, by a look at it alone.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_PATHLOOK_H
#define RSWEBHOOK_PATHLOOK_H

#include "utils/jsonb.h"
#include "utils/jsonpath.h"

typedef struct PathFindings
{
	bool		compares;		/* what may be several values, with something */
	bool		compares_deep;	/* two of these, of which one has a .** */
	int			nproducts;		/* multiplications and divisions */
	int			ndeep;			/* .** */
	int			template_bytes; /* the longest template of a time; 0: it reads none */
	bool		has_keyvalue;
	bool		writes_texts;	/* later versions' methods, some of which write numbers out */
	bool		has_variable;
	bool		is_plain;		/* one name or subscript after the other */
} PathFindings;

extern PathFindings pathlook_at(JsonPath *path);

/* Hands over each comparison of what may be several values, besides. */
extern PathFindings pathlook_at_comparisons(JsonPath *path, void (*compared) (JsonPathItem *comparison, void *arg), void *arg);

/* The operand that the signs before it are of. */
extern JsonPathItem pathlook_without_sign(const JsonPathItem *operand);

#endif							/* RSWEBHOOK_PATHLOOK_H */
