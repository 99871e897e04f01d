/*-------------------------------------------------------------------------
 *
 * map.c
 *		Which destinations have several workers, and the map that follows (share.h).
 *
 * They are few, if any, and have an index of their own: a session that sends to one
 * destination need not read all of them for the map.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "destination/map.h"
#include "destination/table.h"
#include "shmem/slots.h"

static MemoryContext context = NULL;	/* NULL: nothing was read */
static Divided *divided = NULL;
static int	ndivided = 0;
static ShareMap map;
static ChangeReader reader;

static int
compare_ids(const void *a, const void *b)
{
	int32		x = ((const Divided *) a)->id;
	int32		y = ((const Divided *) b)->id;

	return (x > y) - (x < y);
}

static void
read_divided(void)
{
	MemoryContext new = AllocSetContextCreate(CurrentMemoryContext, "rswebhook divided destinations",
											  ALLOCSET_SMALL_SIZES);
	Divided    *list = MemoryContextAlloc(new, sizeof(Divided));
	int			count = 0;
	int			size = 1;
	DestinationTable table;
	HeapTuple	tuple;

	destination_table_open(&table);
	destination_table_divided(&table);
	while ((tuple = destination_table_next(&table)) != NULL)
	{
		int			parts = share_parts(destination_table_int(&table, tuple, table.columns.workers),
										rswebhook_workers);

		if (parts <= 1)
			continue;
		if (count == size)
			list = repalloc_huge(list, (size *= 2) * sizeof(Divided));
		list[count++] = (Divided) {destination_table_int(&table, tuple, table.columns.id), parts};
	}
	destination_table_close(&table);
	qsort(list, count, sizeof(Divided), compare_ids);

	/* from here on nothing can fail */
	MemoryContextSetParent(new, TopMemoryContext);
	if (context != NULL)
		MemoryContextDelete(context);
	context = new;
	divided = list;
	ndivided = count;
	map = PLAIN_SHARE_MAP;
	for (int i = 0; i < ndivided; i++)
		map = share_map_add(map, divided[i].id, divided[i].parts);
}

ShareMap
destination_map(void)
{
	Changes		changes;

	if (rswebhook_workers <= 1)
		return PLAIN_SHARE_MAP;
	destination_look(&reader, &changes);
	if (context == NULL || changes.all || changes.divided)
		read_divided();
	reader = changes.next;
	return map;
}

int
destination_map_parts(int32 id)
{
	Divided		key = {.id = id};
	Divided    *found = ndivided == 0 ? NULL :
		bsearch(&key, divided, ndivided, sizeof(Divided), compare_ids);

	return found != NULL ? found->parts : 1;
}

const Divided *
destination_divided(int *count)
{
	*count = ndivided;
	return divided;
}
