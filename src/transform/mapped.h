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

#include "transform/mapped_making.h"

/*
 * All of these raise errors of the class of data exceptions, or of program limits, if an
 * event does not go with a mapping.
 */

/* An object of them. */
extern Jsonb *mapped_object(MappedMaking *making, const Mappings *mappings);

/* Appends the parts of a path, each with a slash before it. */
extern void mapped_path(MappedMaking *making, const Mappings *parts, StringInfo out);

#endif							/* RSWEBHOOK_MAPPED_H */
