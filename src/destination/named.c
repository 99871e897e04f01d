/*-------------------------------------------------------------------------
 *
 * named.c
 *		A destination by its name, of which a session keeps what it has asked for.
 *
 * A row that has passed the checks once need not pass them again while it is the
 * same version.  When something may have changed, the row is looked up, and that it
 * is the same one is seen by where it is and who wrote it; that costs a few
 * microseconds.  A row that cannot be used is not kept.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "common/hashfn.h"
#include "utils/memutils.h"

#include "destination/copy.h"
#include "destination/named.h"
#include "destination/table.h"
#include "shmem/share.h"
#include "shmem/slots.h"

/* Names that are not used any more go when there are so many. */
#define MAX_NAMES	14000

/* Of so many at the most all is kept that is in their rows. */
#define MAX_WHOLE	64

typedef struct Named
{
	char	   *name;
	uint32		hash;
	char		status;			/* the hash table's */
	uint8		workers;
	bool		enabled;
	int32		id;
	int64		once_us;
	RowVersion	version;
	uint64		seen;			/* when that was so, by the ticks below */
	const Destination *whole;	/* NULL: not asked for */
} Named;

#define SH_PREFIX		names
#define SH_ELEMENT_TYPE	Named
#define SH_KEY_TYPE		char *
#define SH_KEY			name
#define SH_HASH_KEY(tb, key)	hash_bytes((const unsigned char *) (key), strlen(key))
#define SH_EQUAL(tb, a, b)	(strcmp(a, b) == 0)
#define SH_STORE_HASH
#define SH_GET_HASH(tb, a)	(a)->hash
#define SH_SCOPE		static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

static MemoryContext context = NULL;
static names_hash *names;
static MemoryContext whole_context = NULL;	/* a child of it */
static int	nwhole = 0;

/*
 * What happened when, in this session: ids share a place, and what is seen of one is
 * good until its place has changed.
 */
#define PLACES	256
static uint64 ticks = 1;
static uint64 changed[PLACES];
static uint64 all_changed = 1;
static ChangeReader reader;

static void
note_changes(void)
{
	Changes		changes;

	destination_look(&reader, &changes);
	if (changes.all)
		all_changed = ++ticks;
	for (int i = 0; i < changes.count; i++)
		changed[(uint32) changes.ids[i] % PLACES] = ++ticks;
	reader = changes.next;
}

static bool
is_current(const Named *named)
{
	return named->seen > all_changed && named->seen > changed[(uint32) named->id % PLACES];
}

/* Memory for what is kept; forgets all if that has become too much. */
static void
make_room(void)
{
	if (context != NULL && names->members >= MAX_NAMES)
	{
		MemoryContextDelete(context);
		context = NULL;
	}
	if (context != NULL)
		return;
	context = AllocSetContextCreate(TopMemoryContext, "rswebhook named destinations",
									ALLOCSET_DEFAULT_SIZES);
	names = NULL;
	whole_context = NULL;
	nwhole = 0;
	names = names_create(context, 16, NULL);
}

static Named *
find(const char *name)
{
	return context != NULL && names != NULL ? names_lookup(names, unconstify(char *, name)) : NULL;
}

static void
forget(const char *name)
{
	Named	   *named = find(name);
	char	   *copy;

	if (named == NULL)
		return;
	copy = named->name;
	names_delete_item(names, named);
	pfree(copy);
}

static Named *
keep(const Destination *dest, const RowVersion *version)
{
	Named	   *named;
	char	   *copy;
	bool		found;

	make_room();
	named = find(dest->name);
	if (named == NULL)
	{
		copy = MemoryContextStrdup(context, dest->name);
		named = names_insert(names, copy, &found);
	}
	named->workers = dest->workers;
	named->enabled = dest->enabled;
	named->id = dest->id;
	named->once_us = dest->once_us;
	named->version = *version;
	named->seen = 0;
	named->whole = NULL;
	return named;
}

/*
 * The one of this name that can be used, or else NULL: then there is none, or what is
 * in its row is in *row.
 */
static Named *
look_up(const char *name, Destination **row)
{
	bool		parallel = IsInParallelMode();
	Named	   *named = find(name);
	DestinationTable table;
	HeapTuple	tuple;
	bool		unreadable;

	*row = NULL;
	if (!parallel)
		note_changes();
	if (named != NULL && !parallel && is_current(named))
		return named;

	destination_table_open(&table);
	tuple = destination_table_by_name(&table, name);
	if (tuple == NULL)
		forget(name);
	else if (named == NULL || !destination_row_is(tuple, &named->version))
	{
		RowVersion	version = destination_row_version(tuple);

		forget(name);
		named = NULL;
		*row = destination_read_row(tuple, RelationGetDescr(table.rel), &unreadable);
		if ((*row)->problem == NULL)
			named = keep(*row, &version);
	}
	destination_table_close(&table);
	if (tuple == NULL || named == NULL)
		return NULL;

	/* under an older snapshot it may be an older one */
	named->seen = parallel ? 0 : ++ticks;
	return named;
}

bool
destination_named(const char *name, NamedDestination *found)
{
	Destination *row;
	Named	   *named = look_up(name, &row);

	if (named == NULL && row == NULL)
		return false;
	*found = named != NULL ?
		(NamedDestination) {named->id, named->workers, named->enabled, named->once_us, NULL} :
		(NamedDestination) {row->id, row->workers, row->enabled, row->once_us, row->problem};
	found->parts = share_parts(found->parts, rswebhook_workers);
	return true;
}

static void
forget_wholes(void)
{
	names_iterator iterator;
	Named	   *named;

	names_start_iterate(names, &iterator);
	while ((named = names_iterate(names, &iterator)) != NULL)
		named->whole = NULL;
	if (whole_context != NULL)
		MemoryContextDelete(whole_context);
	whole_context = NULL;
	nwhole = 0;
}

const Destination *
destination_by_name(const char *name)
{
	Destination *row;
	Named	   *named = look_up(name, &row);

	if (named != NULL && named->whole == NULL && row == NULL)
	{
		forget(name);			/* it was asked for its id only */
		named = look_up(name, &row);
	}
	if (named == NULL)
		return row;
	if (named->whole == NULL)
	{
		if (nwhole >= MAX_WHOLE)
			forget_wholes();
		if (whole_context == NULL)
			whole_context = AllocSetContextCreate(context, "rswebhook whole destinations",
												  ALLOCSET_SMALL_SIZES);
		named->whole = destination_copy(row, true, whole_context);
		nwhole++;
	}
	return named->whole;
}
