/*-------------------------------------------------------------------------
 *
 * directory.c
 *		All destinations, of each as much as it takes to know which take an event.
 *
 * This is what a session has in its memory once it sends without a destination, and
 * it may be one of hundreds: so no more is kept than that, and what several
 * destinations have in common, their filters, is there once.  It is read at once,
 * and afterwards only those rows are read again that have changed.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "parser/scansup.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "base/compat.h"
#include "destination/check.h"
#include "destination/directory.h"
#include "destination/fields.h"
#include "destination/table.h"
#include "shmem/share.h"
#include "shmem/slots.h"

/* More changes than this are not looked for one by one. */
#define MAX_CHANGES	200

/* Which events are taken; the same for all destinations that have the same. */
typedef struct Filter
{
	uint32		hash;
	int32		size;			/* of what follows after it */
	int16		ntypes;			/* -1: all */
	int16		nevents;		/* -1: all */
	bool		takes;			/* the event that was asked for last */
	char		names[FLEXIBLE_ARRAY_MEMBER];	/* one after the other, types
												 * first, each with its NUL */
} Filter;

typedef struct FilterEntry
{
	Filter	   *filter;
	char		status;			/* the hash table's */
} FilterEntry;

static bool
is_same_filter(const Filter *a, const Filter *b)
{
	return a->size == b->size && a->ntypes == b->ntypes && a->nevents == b->nevents &&
		memcmp(a->names, b->names, a->size) == 0;
}

#define SH_PREFIX		filters
#define SH_ELEMENT_TYPE	FilterEntry
#define SH_KEY_TYPE		Filter *
#define SH_KEY			filter
#define SH_HASH_KEY(tb, key)	(key)->hash
#define SH_EQUAL(tb, a, b)		is_same_filter(a, b)
#define SH_SCOPE		static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

typedef struct Entry
{
	int32		id;
	RowVersion	version;
	uint8		workers;
	bool		enabled : 1;
	bool		usable : 1;		/* else not known */
	Filter	   *filter;			/* NULL: takes all */
} Entry;

typedef struct Directory
{
	MemoryContext context;		/* NULL: nothing was read */
	Entry	   *entries;		/* by their ids */
	int			count;
	int			size;
	filters_hash *filters;
	int			nreplaced;		/* entries, whose filters are still there */
	Instant		again_at;		/* a row could not be read; 0: all could */
} Directory;

static Directory directory;
static ChangeReader reader;

/* ---------------------------------------------------------------------
 * Filters
 * ---------------------------------------------------------------------
 */
char *
destination_fold_type(const char *type, int len)
{
	char	   *folded;

	while (len > 0 && scanner_isspace(type[0]))
		type++, len--;
	while (len > 0 && scanner_isspace(type[len - 1]))
		len--;
	folded = pnstrdup(type, len);
	for (char *c = folded; *c; c++)
		*c = pg_ascii_tolower((unsigned char) *c);
	return folded;
}

/* Adds a list to the names; -1: all, be it that the list cannot be used. */
static int
add_names(StringInfo names, const Row *row, const char *column, bool fold)
{
	ArrayType  *array = fields_array(row, column);
	FieldProblem problem;
	Datum	   *elements;
	int			count;

	if (array == NULL || !destination_names_check(column, array, &problem))
		return -1;
	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &elements, NULL, &count);
	for (int i = 0; i < count; i++)
	{
		char	   *name = TextDatumGetCString(elements[i]);

		if (fold)
			name = destination_fold_type(name, strlen(name));
		appendBinaryStringInfo(names, name, strlen(name) + 1);
	}
	return count;
}

/* arg: a Filter *, NULL if the row takes all. */
static void
read_filter(HeapTuple tuple, TupleDesc desc, void *arg)
{
	const Row	row = {tuple, desc};
	Filter	  **filter = arg;
	Filter		head = {0};
	StringInfoData all;

	initStringInfo(&all);
	appendBinaryStringInfo(&all, (char *) &head, offsetof(Filter, names));
	head.ntypes = add_names(&all, &row, "types", true);
	head.nevents = add_names(&all, &row, "events", false);
	if (head.ntypes < 0 && head.nevents < 0)
	{
		pfree(all.data);
		*filter = NULL;
		return;
	}
	head.size = all.len - offsetof(Filter, names);
	head.hash = hash_bytes((unsigned char *) all.data + offsetof(Filter, names), head.size) ^
		((uint32) head.ntypes << 16) ^ (uint16) head.nevents;
	memcpy(all.data, &head, offsetof(Filter, names));
	*filter = (Filter *) all.data;
}

/* Its own, or the same of another one. */
static Filter *
keep_filter(Directory *d, Filter *filter)
{
	FilterEntry *entry;
	Filter	   *copy;
	Size		size;
	bool		found;

	if (filter == NULL)
		return NULL;
	entry = filters_lookup(d->filters, filter);
	if (entry != NULL)
		return entry->filter;
	size = offsetof(Filter, names) + filter->size;
	copy = MemoryContextAlloc(d->context, size);
	memcpy(copy, filter, size);
	(void) filters_insert(d->filters, copy, &found);
	return copy;
}

static bool
is_listed(const char *what, const char **names, int count)
{
	bool		listed = false;

	for (int i = 0; i < count; i++)
	{
		listed = listed || (what != NULL && strcmp(what, *names) == 0);
		*names += strlen(*names) + 1;
	}
	return listed;
}

/* Of each filter once, however many destinations have it. */
static void
ask_filters(Directory *d, const char *type, const char *name)
{
	filters_iterator iterator;
	FilterEntry *entry;

	filters_start_iterate(d->filters, &iterator);
	while ((entry = filters_iterate(d->filters, &iterator)) != NULL)
	{
		Filter	   *filter = entry->filter;
		const char *names = filter->names;

		CHECK_FOR_INTERRUPTS();
		filter->takes = is_listed(type, &names, filter->ntypes) || filter->ntypes < 0;
		filter->takes = (is_listed(name, &names, filter->nevents) || filter->nevents < 0) &&
			filter->takes;
	}
}

/* ---------------------------------------------------------------------
 * Reading
 * ---------------------------------------------------------------------
 */

/* A filter as it stands in rows, so that what many have is read once. */
typedef struct Recent
{
	char	   *raw;
	int			size;
	Filter	   *filter;			/* kept */
} Recent;

#define RECENT	64

typedef struct Reading
{
	Directory  *directory;
	DestinationTable table;
	MemoryContext scratch;		/* of one row */
	int			last_column;	/* that is asked for */
	Datum	   *values;			/* of a row's columns up to that */
	bool	   *nulls;
	StringInfoData raw;
	Recent		recent[RECENT];
} Reading;

static void
reading_begin(Reading *r, Directory *d)
{
	const DestinationColumns *columns = &r->table.columns;

	memset(r, 0, sizeof(Reading));
	r->directory = d;
	destination_table_open(&r->table);
	r->last_column = Max(Max(columns->id, columns->enabled),
						 Max(columns->workers, Max(columns->types, columns->events)));
	r->scratch = AllocSetContextCreate(CurrentMemoryContext, "rswebhook filter", ALLOCSET_SMALL_SIZES);
	initStringInfo(&r->raw);
}

static void
reading_end(Reading *r)
{
	destination_table_close(&r->table);
	MemoryContextDelete(r->scratch);
}

/* Adds a column to r->raw; false: it is not in the row itself, so that reading it may fail. */
static bool
add_raw(Reading *r, AttrNumber column)
{
	struct varlena *value = (struct varlena *) DatumGetPointer(r->values[column - 1]);

	if (r->nulls[column - 1])
	{
		appendStringInfoChar(&r->raw, '\0');
		return true;
	}
	if (VARATT_IS_EXTERNAL(value) || VARATT_IS_COMPRESSED(value))
		return false;
	appendStringInfoChar(&r->raw, '\1');
	appendBinaryStringInfo(&r->raw, (char *) value, VARSIZE_ANY(value));
	return true;
}

static Filter *
read_recent_filter(Reading *r, HeapTuple tuple)
{
	int			size = r->raw.len;
	Recent	   *recent = &r->recent[hash_bytes((unsigned char *) r->raw.data, size) % RECENT];
	Filter	   *filter = NULL;

	if (recent->raw != NULL && recent->size == size && memcmp(recent->raw, r->raw.data, size) == 0)
		return recent->filter;
	read_filter(tuple, RelationGetDescr(r->table.rel), &filter);
	filter = keep_filter(r->directory, filter);
	if (recent->raw != NULL)
		pfree(recent->raw);
	*recent = (Recent) {MemoryContextAlloc(r->table.context, size), size, filter};
	memcpy(recent->raw, r->raw.data, size);
	return filter;
}

static Filter *
read_entry_filter(Reading *r, HeapTuple tuple)
{
	const DestinationColumns *columns = &r->table.columns;
	Filter	   *filter = NULL;

	if (r->nulls[columns->types - 1] && r->nulls[columns->events - 1])
		return NULL;			/* nearly always */
	resetStringInfo(&r->raw);
	if (add_raw(r, columns->types) && add_raw(r, columns->events))
		return read_recent_filter(r, tuple);
	if (destination_try(read_filter, tuple, RelationGetDescr(r->table.rel), &filter) != NULL)
	{
		filter = NULL;
		r->directory->again_at = clock_now() + DESTINATION_AGAIN_US;
	}
	return keep_filter(r->directory, filter);
}

static void
read_entry(Reading *r, HeapTuple tuple, Entry *entry)
{
	MemoryContext caller = MemoryContextSwitchTo(r->scratch);
	const DestinationColumns *columns = &r->table.columns;
	int32		workers;

	destination_table_columns(&r->table, r->last_column, &r->values, &r->nulls);
	workers = r->nulls[columns->workers - 1] ? 1 : DatumGetInt32(r->values[columns->workers - 1]);
	*entry = (Entry) {
		.id = r->nulls[columns->id - 1] ? 0 : DatumGetInt32(r->values[columns->id - 1]),
		.version = destination_row_version(tuple),
		.enabled = !r->nulls[columns->enabled - 1] && DatumGetBool(r->values[columns->enabled - 1]),
		.workers = Min(Max(workers, 1), MAX_SHARES),
		.filter = read_entry_filter(r, tuple)
	};
	MemoryContextSwitchTo(caller);
	MemoryContextReset(r->scratch);
}

static Entry *
room_for_one(Directory *d)
{
	if (d->count == d->size)
	{
		int			size = Max(64, d->size + d->size / 2);

		d->entries = d->entries == NULL ?
			MemoryContextAlloc(d->context, size * sizeof(Entry)) :
			repalloc_huge(d->entries, size * sizeof(Entry));
		d->size = size;
	}
	return &d->entries[d->count];
}

static int
compare_ids(const void *a, const void *b)
{
	int32		x = ((const Entry *) a)->id;
	int32		y = ((const Entry *) b)->id;

	return (x > y) - (x < y);
}

/* What was found out about rows that are the same is not asked again. */
static void
take_over(Directory *d)
{
	int			old = 0;

	for (int i = 0; i < d->count; i++)
	{
		const Entry *before;

		while (old < directory.count && directory.entries[old].id < d->entries[i].id)
			old++;
		if (old == directory.count)
			break;
		before = &directory.entries[old];
		if (before->id == d->entries[i].id && before->version.xmin == d->entries[i].version.xmin &&
			ItemPointerEquals(unconstify(ItemPointerData *, &before->version.at), &d->entries[i].version.at))
			d->entries[i].usable = before->usable;
	}
}

static void
read_all(void)
{
	Directory	d = {0};
	Reading		r;
	HeapTuple	tuple;

	d.context = AllocSetContextCreate(CurrentMemoryContext, "rswebhook destinations",
									  ALLOCSET_DEFAULT_SIZES);
	d.filters = filters_create(d.context, 16, NULL);
	reading_begin(&r, &d);
	destination_table_all(&r.table);
	while ((tuple = destination_table_next(&r.table)) != NULL)
	{
		read_entry(&r, tuple, room_for_one(&d));
		d.count++;
	}
	reading_end(&r);
	if (d.count > 0)
	{
		qsort(d.entries, d.count, sizeof(Entry), compare_ids);
		d.size = d.count;
		d.entries = repalloc_huge(d.entries, d.count * sizeof(Entry));
	}
	take_over(&d);

	/* from here on nothing can fail */
	MemoryContextSetParent(d.context, TopMemoryContext);
	if (directory.context != NULL)
		MemoryContextDelete(directory.context);
	directory = d;
}

/* The first one that is not below an id. */
static int
position_of(int32 id)
{
	int			from = 0;
	int			to = directory.count;

	while (from < to)
	{
		int			middle = from + (to - from) / 2;

		if (directory.entries[middle].id < id)
			from = middle + 1;
		else
			to = middle;
	}
	return from;
}

static void
read_one(Reading *r, int32 id)
{
	Directory  *d = r->directory;
	HeapTuple	tuple = destination_table_by_id(&r->table, id);
	int			at = position_of(id);
	bool		is_there = at < d->count && d->entries[at].id == id;
	Entry		entry = {0};

	if (is_there && tuple != NULL && destination_row_is(tuple, &d->entries[at].version))
		return;
	if (tuple != NULL)
		read_entry(r, tuple, &entry);
	if (tuple != NULL && !is_there)
		(void) room_for_one(d);

	/* from here on nothing can fail */
	d->nreplaced += is_there;
	if (tuple != NULL && is_there)
		d->entries[at] = entry;
	else if (tuple != NULL)
	{
		memmove(&d->entries[at + 1], &d->entries[at], (d->count - at) * sizeof(Entry));
		d->entries[at] = entry;
		d->count++;
	}
	else if (is_there)
	{
		d->count--;
		memmove(&d->entries[at], &d->entries[at + 1], (d->count - at) * sizeof(Entry));
	}
}

static void
refresh(void)
{
	Changes		changes;

	destination_look(&reader, &changes);
	if (directory.context == NULL || changes.all || changes.count > MAX_CHANGES ||
		directory.nreplaced > directory.count + 1000 ||
		(directory.again_at != 0 && clock_now() >= directory.again_at))
		read_all();
	else if (changes.count > 0)
	{
		Reading		r;

		reading_begin(&r, &directory);
		for (int i = 0; i < changes.count; i++)
			read_one(&r, changes.ids[i]);
		reading_end(&r);
	}
	reader = changes.next;
}

/* ---------------------------------------------------------------------
 * Asking
 * ---------------------------------------------------------------------
 */
Taker *
destination_takers(const char *type, const char *name, int *count)
{
	Taker	   *takers;

	refresh();
	ask_filters(&directory, type, name);
	takers = palloc_extended(Max(directory.count, 1) * sizeof(Taker), MCXT_ALLOC_HUGE);
	*count = 0;
	for (int i = 0; i < directory.count; i++)
	{
		const Entry *entry = &directory.entries[i];

		if (entry->enabled && (entry->filter == NULL || entry->filter->takes))
			takers[(*count)++] = (Taker) {entry->id, share_parts(entry->workers, rswebhook_workers)};
	}
	return takers;
}

/* A row that has passed once does so while it is the same version. */
void
destination_each_unusable(DestinationUnusable unusable, void *arg)
{
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext scratch;
	DestinationTable table;

	refresh();
	scratch = AllocSetContextCreate(caller, "rswebhook destination", ALLOCSET_DEFAULT_SIZES);
	destination_table_open(&table);
	for (int i = 0; i < directory.count; i++)
	{
		Entry	   *entry = &directory.entries[i];
		HeapTuple	tuple;
		Destination *dest;
		bool		unreadable;

		if (entry->usable)
			continue;			/* nearly always, after the first time */
		MemoryContextSwitchTo(scratch);
		tuple = destination_table_by_id(&table, entry->id);
		dest = tuple == NULL ? NULL :
			destination_read_row(tuple, RelationGetDescr(table.rel), &unreadable);
		if (dest != NULL && dest->problem == NULL)
			entry->usable = destination_row_is(tuple, &entry->version);
		MemoryContextSwitchTo(caller);
		if (dest != NULL && dest->problem != NULL)
			unusable(dest->id, dest->problem, arg);
		MemoryContextReset(scratch);
	}
	destination_table_close(&table);
	MemoryContextDelete(scratch);
}
