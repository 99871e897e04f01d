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
#include "common/hashfn.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "base/compat.h"
#include "destination/directory.h"
#include "destination/fields.h"
#include "destination/filters.h"
#include "destination/filters_ask.h"
#include "destination/integrations.h"
#include "destination/table.h"
#include "shmem/share.h"
#include "shmem/slots.h"

/* More changes than this are not looked for one by one. */
#define MAX_CHANGES	200

typedef struct Entry
{
	int32		id;
	RowVersion	version;
	uint8		workers;
	bool		enabled : 1;
	bool		usable : 1;		/* else not known */
	uint64		name;			/* a hash of it */
	int64		once_us;		/* its column deduplicate */
	SharedFilter *filter;
} Entry;

/* Which destination has a name. */
typedef struct NameEntry
{
	uint64		name;
	int32		id;
	char		status;			/* the hash table's */
} NameEntry;

#define SH_PREFIX		names
#define SH_ELEMENT_TYPE	NameEntry
#define SH_KEY_TYPE		uint64
#define SH_KEY			name
#define SH_HASH_KEY(tb, key)	((uint32) (key))
#define SH_EQUAL(tb, a, b)		((a) == (b))
#define SH_SCOPE		static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

typedef struct Directory
{
	MemoryContext context;		/* NULL: nothing was read */
	Entry	   *entries;		/* by their ids */
	int			count;
	int			size;
	Filters    *filters;
	names_hash *names;
	int			nreplaced;		/* entries, whose filters are still there */
	bool		broken;			/* a change has failed half-way */
	Instant		again_at;		/* a row could not be read; 0: all could */
} Directory;

static Directory directory;
static ChangeReader reader;

static uint64
hash_name(const char *name, int len)
{
	return hash_bytes_extended((const unsigned char *) name, len, 0);
}

/* ---------------------------------------------------------------------
 * Reading
 * ---------------------------------------------------------------------
 */

/* Filters as they stand in a row, so that what many have is read once. */
typedef struct Recent
{
	char	   *raw;
	int			size;
	SharedFilter *filter;
} Recent;

#define RECENT	64

/* The columns that filters are in. */
#define FILTER_COLUMNS	5

typedef struct Reading
{
	Directory  *directory;
	DestinationTable table;
	AttrNumber	filter_columns[FILTER_COLUMNS];
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
	r->filter_columns[0] = columns->types;
	r->filter_columns[1] = columns->events;
	r->filter_columns[2] = columns->excluded_events;
	r->filter_columns[3] = columns->filter;
	r->filter_columns[4] = columns->consent;
	r->last_column = Max(Max(columns->id, columns->name), Max(columns->enabled, columns->workers));
	r->last_column = Max(r->last_column, columns->deduplicate);
	for (int i = 0; i < FILTER_COLUMNS; i++)
		r->last_column = Max(r->last_column, r->filter_columns[i]);
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

/* arg: a Filter * */
static void
read_filter(HeapTuple tuple, TupleDesc desc, void *arg)
{
	const Row	row = {tuple, desc};
	Filter	  **filter = arg;

	*filter = filter_read(&row);
}

static SharedFilter *
read_recent_filter(Reading *r, HeapTuple tuple)
{
	int			size = r->raw.len;
	Recent	   *recent = &r->recent[hash_bytes((unsigned char *) r->raw.data, size) % RECENT];
	Filter	   *filter;

	if (recent->raw != NULL && recent->size == size && memcmp(recent->raw, r->raw.data, size) == 0)
		return recent->filter;
	read_filter(tuple, RelationGetDescr(r->table.rel), &filter);
	if (recent->raw != NULL)
		pfree(recent->raw);
	*recent = (Recent) {
		MemoryContextAlloc(r->table.context, size), size, filters_share(r->directory->filters, filter)
	};
	memcpy(recent->raw, r->raw.data, size);
	return recent->filter;
}

/* NULL: it cannot be read now. */
static SharedFilter *
read_entry_filter(Reading *r, HeapTuple tuple)
{
	Filter	   *filter = NULL;
	bool		inline_all = true;

	resetStringInfo(&r->raw);
	for (int i = 0; i < FILTER_COLUMNS && inline_all; i++)
		inline_all = add_raw(r, r->filter_columns[i]);
	if (inline_all)
		return read_recent_filter(r, tuple);
	if (destination_try(read_filter, tuple, RelationGetDescr(r->table.rel), &filter) == NULL)
		return filters_share(r->directory->filters, filter);
	r->directory->again_at = clock_now() + DESTINATION_AGAIN_US;
	return NULL;
}

static uint64
read_name(const Reading *r)
{
	AttrNumber	column = r->table.columns.name;
	text	   *name;

	if (r->nulls[column - 1])
		return 0;
	name = DatumGetTextPP(r->values[column - 1]);
	return hash_name(VARDATA_ANY(name), VARSIZE_ANY_EXHDR(name));
}

static int64
read_window(const Reading *r)
{
	AttrNumber	column = r->table.columns.deduplicate;

	return r->nulls[column - 1] ? 0 : destination_window(DatumGetIntervalP(r->values[column - 1]));
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
		.name = read_name(r),
		.once_us = read_window(r),
		.filter = read_entry_filter(r, tuple)
	};
	MemoryContextSwitchTo(caller);
	MemoryContextReset(r->scratch);
}

/* An entry is found by its filter and by its name. */
static void
list_entry(Directory *d, const Entry *entry)
{
	NameEntry  *name;
	bool		found;

	if (entry->filter != NULL)
		filters_add(d->filters, entry->filter, entry->id);
	name = names_insert(d->names, entry->name, &found);
	name->id = entry->id;
}

static void
unlist_entry(Directory *d, const Entry *entry)
{
	NameEntry  *name = names_lookup(d->names, entry->name);

	if (entry->filter != NULL)
		filters_remove(entry->filter, entry->id);
	if (name != NULL && name->id == entry->id)
		(void) names_delete(d->names, entry->name);
}

static Entry *
room_for_one(Directory *d, int expected)
{
	if (d->count == d->size)
	{
		int			size = Max(Max(64, expected), d->size + d->size / 2);

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
	d.filters = filters_make(d.context);
	reading_begin(&r, &d);
	destination_table_all(&r.table);
	while ((tuple = destination_table_next(&r.table)) != NULL)
	{
		read_entry(&r, tuple, room_for_one(&d, destination_table_rows(&r.table)));
		d.count++;
	}
	reading_end(&r);
	d.names = names_create(d.context, Max(d.count, 16), NULL);
	if (d.count > 0)
	{
		qsort(d.entries, d.count, sizeof(Entry), compare_ids);
		d.size = d.count;
		d.entries = repalloc_huge(d.entries, d.count * sizeof(Entry));
	}
	for (int i = 0; i < d.count; i++)
		list_entry(&d, &d.entries[i]);
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
		(void) room_for_one(d, 0);

	/* whatever fails now, all is read again */
	d->broken = true;
	if (is_there)
	{
		unlist_entry(d, &d->entries[at]);
		d->nreplaced++;
	}
	if (tuple != NULL && !is_there)
	{
		memmove(&d->entries[at + 1], &d->entries[at], (d->count - at) * sizeof(Entry));
		d->count++;
	}
	if (tuple != NULL)
	{
		d->entries[at] = entry;
		list_entry(d, &d->entries[at]);
	}
	else if (is_there)
	{
		d->count--;
		memmove(&d->entries[at], &d->entries[at + 1], (d->count - at) * sizeof(Entry));
	}
	d->broken = false;
}

static void
refresh(void)
{
	Changes		changes;

	destination_look(&reader, &changes);
	if (directory.context == NULL || directory.broken || changes.all || changes.count > MAX_CHANGES ||
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

/* A destination that the event names, and what it says of it. */
typedef struct Named
{
	int32		id;
	bool		allowed;
} Named;

static int
compare_named(const void *a, const void *b)
{
	int32		x = *(const int32 *) a;
	int32		y = *(const int32 *) b;

	return (x > y) - (x < y);
}

static Named *
find_named(const Integrations *said, int *count)
{
	Named	   *named = palloc_extended(Max(said->nnamed, 1) * sizeof(Named), MCXT_ALLOC_HUGE);

	*count = 0;
	for (int i = 0; i < said->nnamed; i++)
	{
		NameEntry  *entry = names_lookup(directory.names, hash_name(said->named[i].name, said->named[i].len));

		if (entry != NULL)
			named[(*count)++] = (Named) {entry->id, said->named[i].allowed};
	}
	qsort(named, *count, sizeof(Named), compare_named);
	return named;
}

Taker *
destination_takers(Jsonb *event, bool alert, int *count)
{
	FilteredEvent filtered;
	Integrations said;
	Taker	   *takers;
	Named	   *named;
	int32	   *ids;
	int			nids;
	int			nnamed;

	*count = 0;
	integrations_read(event, &said);
	if (!said.allowed && said.nnamed == 0)
		return NULL;
	refresh();
	named = find_named(&said, &nnamed);
	if (!said.allowed && nnamed == 0)
		return NULL;
	filter_read_event(event, alert, &filtered);
	ids = filters_takers(directory.filters, &filtered, &nids);
	qsort(ids, nids, sizeof(int32), compare_named);
	takers = palloc_extended(Max(nids, 1) * sizeof(Taker), MCXT_ALLOC_HUGE);
	for (int i = 0; i < nids; i++)
	{
		int32		id = ids[i];
		const Entry *entry = &directory.entries[position_of(id)];
		const Named *mine = nnamed == 0 ? NULL :
			bsearch(&id, named, nnamed, sizeof(Named), compare_named);

		CHECK_FOR_INTERRUPTS();
		if (entry->enabled && (mine != NULL ? mine->allowed : said.allowed))
			takers[(*count)++] = (Taker) {id, share_parts(entry->workers, rswebhook_workers), entry->once_us, 0};
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
