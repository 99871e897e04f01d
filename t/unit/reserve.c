/*-------------------------------------------------------------------------
 *
 * reserve.c
 *		Unit tests of the memory that is put by: what is taken from it does not
 *		overlap, keeps what was written to it, and comes back whole.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "unit.h"

#include <malloc.h>
#include <stdlib.h>

/* malloc() as the room sees it */
static bool none = false;
#define malloc(size)			(none ? NULL : (malloc) (size))
#define calloc(count, size)		(none ? NULL : (calloc) (count, size))
#define realloc(memory, size)	(none ? NULL : (realloc) (memory, size))

#include "http/reserve.c"

#define PIECES	500

static uint32 seed = 1;

static uint32
below(uint32 most)
{
	seed = seed * 1103515245 + 12345;
	return (seed >> 8) % most;
}

static bool
is_filled(const char *piece, size_t size, char with)
{
	for (size_t i = 0; i < size; i++)
	{
		if (piece[i] != with)
			return false;
	}
	return true;
}

/* As libcurl would, with malloc() failing now and then. */
static void
churn(void)
{
	char	   *pieces[PIECES] = {0};
	size_t		sizes[PIECES] = {0};
	bool		kept = true;

	for (int step = 0; step < 200000; step++)
	{
		int			i = below(PIECES);
		size_t		size = 1 + below(below(20) == 0 ? 60000 : 300);

		none = below(3) > 0;
		if (pieces[i] == NULL)
		{
			pieces[i] = below(2) ? reserve_malloc(size) : reserve_calloc(1, size);
			sizes[i] = size;
		}
		else if (below(2))
		{
			pieces[i] = reserve_realloc(pieces[i], size);
			kept &= pieces[i] != NULL && is_filled(pieces[i], Min(size, sizes[i]), (char) i);
			sizes[i] = size;
		}
		else
		{
			kept &= is_filled(pieces[i], sizes[i], (char) i);
			reserve_free(pieces[i]);
			pieces[i] = NULL;
		}
		if (pieces[i] != NULL)
			memset(pieces[i], i, sizes[i]);
		kept &= !reserve_has_failed();
	}
	ok(kept, "what is taken keeps what was written to it");
	ok(reserve_is_used(), "some of it is in use");
	for (int i = 0; i < PIECES; i++)
		reserve_free(pieces[i]);
	ok(!reserve_is_used(), "it is whole again");
}

static void
tests(void)
{
	char	   *most;
	char	   *rest;

	ok(reserve_open() && reserve_open(), "it is put by");
	ok(!is_of_reserve(NULL), "nothing is not part of it");
	churn();

	none = true;
	most = reserve_calloc(1, RESERVE_BYTES / 2);
	ok(most != NULL && is_filled(most, RESERVE_BYTES / 2, 0), "all is zero that is to be, whatever was there");
	ok(reserve_is_low(), "half of it is much");
	rest = reserve_strdup("the rest");
	ok(is_of_reserve(rest), "a string is part of it");
	is_text(rest, "the rest", "and is the same");
	ok(reserve_realloc(rest, 0) == rest, "a piece may be made small");
	ok(!reserve_has_failed(), "there was enough");
	ok(reserve_malloc(RESERVE_BYTES / 2) == NULL && reserve_has_failed(), "until there is not");
	reserve_free(most);
	none = false;
	rest = reserve_realloc(rest, 100);
	ok(rest != NULL && !is_of_reserve(rest) && !reserve_is_used(), "what grows moves where there is memory");
	reserve_free(rest);
	ok(reserve_is_spared(1000) && reserve_is_spared(1000000), "there is memory");
	none = true;
	ok(!reserve_is_spared(1000), "and then none");
	none = false;
}
