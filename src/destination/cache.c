/*-------------------------------------------------------------------------
 *
 * cache.c
 *		A worker's destinations, with all that is in their rows.
 *
 * They are read when the worker starts; from then on a row is read again when it has
 * changed.  If it is not known which ones have, all are looked at, and those are read
 * that are not the same version any more.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/hsearch.h"
#include "utils/memutils.h"

#include "destination/cache.h"
#include "destination/copy.h"
#include "destination/table.h"
#include "shmem/changes.h"

/* More than that are all. */
#define MAX_CHANGED	64

typedef struct Known
{
	int32		id;
	RowVersion	version;
	bool		unreadable;		/* to be tried again */
	uint32		look;			/* at all, in which it was there */
	const Destination *destination;
} Known;

static bool (*is_mine) (int32 id);
static MemoryContext context;
static HTAB *known;				/* by id */
static Known *last_found;		/* asked for again and again; NULL: none was */
static uint32 look = 0;
static ChangeReader reader;
static bool all_read = false;	/* once, at least */
static Instant again_at = INSTANT_NEVER;

static int32 changed[MAX_CHANGED];
static int	nchanged = -1;		/* -1: perhaps all */

void
destination_set_mine(bool (*whose) (int32 id))
{
	HASHCTL		info = {.keysize = sizeof(int32), .entrysize = sizeof(Known)};

	is_mine = whose;
	context = AllocSetContextCreate(TopMemoryContext, "rswebhook destinations",
									ALLOCSET_DEFAULT_SIZES);
	known = hash_create("rswebhook known destinations", 64, &info, HASH_ELEM | HASH_BLOBS);
}

static void
note_changed(int32 id)
{
	for (int i = 0; i < nchanged; i++)
	{
		if (changed[i] == id)
			return;
	}
	if (nchanged == MAX_CHANGED)
		nchanged = -1;
	if (nchanged >= 0)
		changed[nchanged++] = id;
}

static void
forget(Known *entry)
{
	int32		id = entry->id;

	pfree(unconstify(Destination *, entry->destination));
	hash_search(known, &id, HASH_REMOVE, NULL);
	last_found = NULL;
	note_changed(id);
}

/* Is it as wrong as before, and for the same reason? */
static bool
is_still_unreadable(const Known *entry, const Destination *read, bool unreadable)
{
	return unreadable && entry->unreadable &&
		strcmp(entry->destination->problem, read->problem) == 0;
}

/* The current memory context is the caller's to reset. */
static void
read_row(const DestinationTable *table, HeapTuple tuple)
{
	int32		id = destination_table_int(table, tuple, table->columns.id);
	Known	   *entry;
	Destination *read;
	const Destination *copy;
	bool		unreadable;
	bool		same;

	if (!is_mine(id))
		return;
	entry = hash_search(known, &id, HASH_FIND, NULL);
	same = entry != NULL && destination_row_is(tuple, &entry->version);
	if (entry != NULL)
		entry->look = look;
	if (same && !entry->unreadable)
		return;

	read = destination_read_row(tuple, RelationGetDescr(table->rel), &unreadable);
	if (unreadable)
		again_at = Min(again_at, clock_now() + DESTINATION_AGAIN_US);
	if (same && is_still_unreadable(entry, read, unreadable))
		return;
	copy = destination_copy(read, false, context);
	if (entry == NULL)
		entry = hash_search(known, &id, HASH_ENTER, NULL);
	else
		pfree(unconstify(Destination *, entry->destination));
	entry->version = destination_row_version(tuple);
	entry->unreadable = unreadable;
	entry->look = look;
	entry->destination = copy;
	note_changed(id);
}

/*
 * Which are gone is seen last: should there be no memory for one, the others must not
 * pass for deleted.
 */
static void
look_at_all(DestinationTable *table, MemoryContext scratch)
{
	HASH_SEQ_STATUS scan;
	Known	   *entry;
	HeapTuple	tuple;

	look++;
	again_at = INSTANT_NEVER;
	destination_table_all(table);
	while ((tuple = destination_table_next(table)) != NULL)
	{
		read_row(table, tuple);
		MemoryContextReset(scratch);
	}
	hash_seq_init(&scan, known);
	while ((entry = hash_seq_search(&scan)) != NULL)
	{
		if (entry->look != look)
			forget(entry);
	}
}

static void
look_at(DestinationTable *table, int32 id)
{
	HeapTuple	tuple = destination_table_by_id(table, id);
	Known	   *entry = hash_search(known, &id, HASH_FIND, NULL);

	if (tuple != NULL)
		read_row(table, tuple);
	else if (entry != NULL)
		forget(entry);
}

void
destination_refresh(void)
{
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext scratch;
	DestinationTable table;
	Changes		changes;
	bool		all;

	destination_look(&reader, &changes);
	all = !all_read || changes.all || clock_now() >= again_at;
	if (!all && changes.count == 0)
	{
		reader = changes.next;
		return;
	}
	scratch = AllocSetContextCreate(caller, "rswebhook destination", ALLOCSET_DEFAULT_SIZES);
	destination_table_open(&table);
	MemoryContextSwitchTo(scratch);
	if (all)
		look_at_all(&table, scratch);
	for (int i = 0; i < changes.count && !all; i++)
	{
		if (is_mine(changes.ids[i]))
			look_at(&table, changes.ids[i]);
		MemoryContextReset(scratch);
	}
	MemoryContextSwitchTo(caller);
	destination_table_close(&table);
	MemoryContextDelete(scratch);
	all_read = true;
	reader = changes.next;
}

int
destination_changed(const int32 **ids)
{
	*ids = changed;
	return nchanged;
}

void
destination_settled(void)
{
	nchanged = 0;
}

const Destination *
destination_find(int32 id)
{
	if (last_found == NULL || last_found->id != id)
		last_found = hash_search(known, &id, HASH_FIND, NULL);
	return last_found != NULL ? last_found->destination : NULL;
}

void
destination_each(void (*visit) (const Destination *destination, void *arg), void *arg)
{
	HASH_SEQ_STATUS scan;
	Known	   *entry;

	hash_seq_init(&scan, known);
	while ((entry = hash_seq_search(&scan)) != NULL)
		visit(entry->destination, arg);
}

int
destination_count(void)
{
	return (int) hash_get_num_entries(known);
}

Instant
destination_again_at(void)
{
	return again_at;
}

void
destination_forget(void)
{
	changes_forget();
}
