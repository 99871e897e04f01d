/*-------------------------------------------------------------------------
 *
 * array.h
 *		Requests of several events: an array of what each would have as its body.
 *
 * What is claimed for one request may differ in where it goes, or in its headers, or may be
 * too much for one: then it becomes several, which are made at the same time.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_ARRAY_H
#define RSWEBHOOK_ARRAY_H

#include "destination/values.h"
#include "worker/render.h"

/* So many at the most. */
#define MOST_ARRAYS		16

/* There is none; and how many there are. */
extern void array_begin(void);
extern int	array_count(void);

/*
 * In which it goes, which may be a new one if there are fewer than so many; -1: in none.  And add it
 * to that: what it has is copied into the memory context.  Raises errors, after which nothing
 * has changed.
 */
extern int	array_find(const Rendered *rendered, const Destination *destination, int most);
extern void array_add(int array, const Rendered *rendered, const RenderedPart *part, MemoryContext context);

/*
 * The request of all that are in one, in the current memory context, which is the one that they
 * were copied into; false with *why: a secret of the destination is not to be had.
 */
extern bool array_finish(int array, const Destination *destination, Rendered *rendered, char **why);

#endif							/* RSWEBHOOK_ARRAY_H */
