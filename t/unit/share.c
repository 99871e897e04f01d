/*-------------------------------------------------------------------------
 *
 * share.c
 *		Unit tests of which worker serves whom: what a sender tells a worker of is
 *		what that worker takes for its own.
 *
 * rooms:
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "unit.h"

#include "shmem/share.h"

static void
test_parts(void)
{
	const int32 ids[] = {1, 2, 31, 32, 33, PG_INT32_MAX - 1, PG_INT32_MAX, 0, -1, -2, -32, PG_INT32_MIN};
	int			wrong = 0;

	for (int i = 0; i < lengthof(ids); i++)
	{
		for (int nshares = 1; nshares <= MAX_SHARES; nshares++)
		{
			for (int part = 0; part < nshares; part++)
			{
				int			share = share_of(ids[i], part, nshares);

				wrong += share < 0 || share >= nshares ||
					share_part_in(ids[i], nshares, share, nshares) != part ||
					share_part_in(ids[i], part, share, nshares) != -1;
			}
		}
	}
	is_int(wrong, 0, "each part of any destination is one worker's");
}

static void
test_users(void)
{
	int			served[3] = {0};

	for (int64 key = -3000; key < 3000; key++)
		served[share_part(key, 3)]++;
	is_int(served[0] > 1500 && served[1] > 1500 && served[2] > 1500, true, "users are divided evenly");
	is_int(share_part(PG_INT64_MIN, 1), 0, "one worker has all of them");
	is_int(share_parts(32, 4), 4, "there are no more workers than there are");
	is_int(share_parts(0, 4), 1, "there is one at least");
}

static void
test_maps(void)
{
	ShareMap	map = share_map_add(PLAIN_SHARE_MAP, 1, 2);

	is_int(share_map_add(PLAIN_SHARE_MAP, 1, 1) == PLAIN_SHARE_MAP, true, "a destination with one worker does not matter");
	is_int(map != PLAIN_SHARE_MAP && map != share_map_add(PLAIN_SHARE_MAP, 1, 3) &&
		   map != share_map_add(PLAIN_SHARE_MAP, 2, 2), true, "how many another one has does");
}

static void
tests(void)
{
	test_parts();
	test_users();
	test_maps();
}
