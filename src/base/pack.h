/*-------------------------------------------------------------------------
 *
 * pack.h
 *		Many small things in one piece of memory.
 *
 * What is packed is packed twice by the same code: first without memory, to learn
 * how much it takes.  There is nothing to be filled in then, and pack() returns NULL.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_PACK_H
#define RSWEBHOOK_PACK_H

typedef struct Packing
{
	char	   *memory;			/* NULL: only count */
	Size		used;
} Packing;

static inline void *
pack(Packing *packing, const void *what, Size size)
{
	char	   *to = packing->memory != NULL ? packing->memory + packing->used : NULL;

	packing->used += MAXALIGN(size);
	if (to != NULL && size > 0)
		memcpy(to, what, size);
	return to;
}

/* NULL stays NULL. */
static inline char *
pack_string(Packing *packing, const char *string)
{
	return string == NULL ? NULL : (char *) pack(packing, string, strlen(string) + 1);
}

#endif							/* RSWEBHOOK_PACK_H */
