/*-------------------------------------------------------------------------
 *
 * mapped_find.h
 *		What the paths of mappings find, as values.
 *
 * An error of a jsonpath, and more than there is room for, is raised.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_MAPPED_FIND_H
#define RSWEBHOOK_MAPPED_FIND_H

#include "transform/mapped_making.h"

typedef struct MappedFindings
{
	MappedMaking *making;
	bool		with_nulls;
	bool		as_text;
	Jsonb	  **items;
	int			count;
	int			size;
} MappedFindings;

/* All that a piece of a mapping's path finds at one place. */
extern void mapped_find(MappedMaking *making, const Mapping *mapping, int piece, Jsonb *at, bool with_nulls,
						MappedFindings *findings);

/* One of them as a value, which points into it. */
extern void mapped_find_set(JsonbValue *value, Jsonb *found);
extern bool mapped_find_is_null(Jsonb *found);

/* What a path finds from a piece on, or an array of it; false: nothing, or null. */
extern bool mapped_find_value(MappedMaking *making, const Mapping *mapping, int piece, Jsonb *at, JsonbValue *value);

#endif							/* RSWEBHOOK_MAPPED_FIND_H */
