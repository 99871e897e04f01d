/*-------------------------------------------------------------------------
 *
 * mapped.h
 *		What mappings make of an event.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_MAPPED_H
#define RSWEBHOOK_MAPPED_H

#include "lib/stringinfo.h"

#include "transform/mapping.h"

/* What is being made, and of what; a mapping that fails is the current one. */
typedef struct MappedMaking
{
	Jsonb	   *event;
	Size		limit;			/* no more bytes, of jsonb and of what members take */
	Size		bytes;			/* that were taken so far */
	const Mapping *current;		/* NULL: none */
	int			order;			/* its place in its list */
} MappedMaking;

/*
 * All of these raise errors of the class of data exceptions, or of program limits, if an
 * event does not go with a mapping.
 */

/* An object of them. */
extern Jsonb *mapped_object(MappedMaking *making, const Mappings *mappings);

/* Appends the parts of a path, each with a slash before it. */
extern void mapped_path(MappedMaking *making, const Mappings *parts, StringInfo out);

#endif							/* RSWEBHOOK_MAPPED_H */
