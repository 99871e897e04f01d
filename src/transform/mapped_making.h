/*-------------------------------------------------------------------------
 *
 * mapped_making.h
 *		What is being made by mappings, and of what.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_MAPPED_MAKING_H
#define RSWEBHOOK_MAPPED_MAKING_H

#include "transform/mapping.h"

/* A mapping that fails is the current one. */
typedef struct MappedMaking
{
	Jsonb	   *event;
	Size		limit;			/* no more bytes, of jsonb and of what members take */
	Size		bytes;			/* that were taken so far */
	const Mapping *current;		/* NULL: none */
	int			order;			/* its place in its list */
} MappedMaking;

/* Of what is made of an event; before there is memory for it. */
static inline void
mapped_take(MappedMaking *making, Size bytes)
{
	making->bytes += bytes;
	if (making->bytes > making->limit)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("what is mapped is larger than %zu bytes", making->limit)));
}

#endif							/* RSWEBHOOK_MAPPED_MAKING_H */
