/*-------------------------------------------------------------------------
 *
 * filters.c
 *		All filters of a database, and the destinations that have each.
 *
 * What several destinations have in common is there once.  A filter stands under what
 * an event must have for it to take one: a type, a name, the beginning of a name, or
 * nothing.  So an event is compared with those only that are about such events, however
 * many others there are.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#include "destination/filters.h"

/* What an event must have. */
typedef enum KeyKind
{
	KEY_NOTHING,
	KEY_NOT_TRACK,
	KEY_TYPE,					/* this one */
	KEY_NAME,					/* a track event's */
	KEY_BEGINNING				/* of such a name */
} KeyKind;

typedef struct Key
{
	KeyKind		kind;
	int			len;
	const char *text;			/* in some filter */
} Key;

/* Filters under a key. */
typedef struct Listed
{
	SharedFilter *shared;
	struct Listed *next;
} Listed;

typedef struct KeyEntry
{
	Key			key;
	Listed	   *first;
	char		status;			/* the hash table's */
} KeyEntry;

typedef struct FilterEntry
{
	const Filter *filter;
	SharedFilter *shared;
	char		status;
} FilterEntry;

static uint32
hash_key(Key key)
{
	return hash_bytes((const unsigned char *) key.text, key.len) ^ (uint32) key.kind;
}

static bool
is_same_key(Key a, Key b)
{
	return a.kind == b.kind && a.len == b.len && memcmp(a.text, b.text, a.len) == 0;
}

#define SH_PREFIX		keys
#define SH_ELEMENT_TYPE	KeyEntry
#define SH_KEY_TYPE		Key
#define SH_KEY			key
#define SH_HASH_KEY(tb, key)	hash_key(key)
#define SH_EQUAL(tb, a, b)		is_same_key(a, b)
#define SH_SCOPE		static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

#define SH_PREFIX		shared
#define SH_ELEMENT_TYPE	FilterEntry
#define SH_KEY_TYPE		const Filter *
#define SH_KEY			filter
#define SH_HASH_KEY(tb, key)	(key)->hash
#define SH_EQUAL(tb, a, b)		filter_is_same(a, b)
#define SH_SCOPE		static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

struct Filters
{
	MemoryContext context;
	shared_hash *all;
	keys_hash  *keys;
	int		   *lengths;		/* that beginnings have, each once */
	int			nlengths;
	uint64		asked;			/* events so far */
};

Filters *
filters_make(MemoryContext context)
{
	Filters    *filters = MemoryContextAllocZero(context, sizeof(Filters));

	filters->context = context;
	filters->all = shared_create(context, 16, NULL);
	filters->keys = keys_create(context, 16, NULL);
	return filters;
}

/* ---------------------------------------------------------------------
 * Keys
 * ---------------------------------------------------------------------
 */
static void
note_length(Filters *filters, int len)
{
	for (int i = 0; i < filters->nlengths; i++)
	{
		if (filters->lengths[i] == len)
			return;
	}
	filters->lengths = filters->lengths == NULL ?
		MemoryContextAlloc(filters->context, 8 * sizeof(int)) :
		filters->nlengths % 8 != 0 ? filters->lengths :
		repalloc(filters->lengths, (filters->nlengths + 8) * sizeof(int));
	filters->lengths[filters->nlengths++] = len;
}

static void
list_under(Filters *filters, SharedFilter *shared, KeyKind kind, const char *text, int len)
{
	Listed	   *listed = MemoryContextAlloc(filters->context, sizeof(Listed));
	KeyEntry   *entry;
	bool		found;

	if (kind == KEY_BEGINNING)
		note_length(filters, len);
	entry = keys_insert(filters->keys, (Key) {kind, len, text}, &found);
	listed->shared = shared;
	listed->next = found ? entry->first : NULL;
	entry->first = listed;
}

/* Track events have to have one of its names. */
static void
list_under_names(Filters *filters, SharedFilter *shared, const char *names)
{
	for (int i = 0; i < shared->filter->nevents; i++)
	{
		const char *star = strchr(names, '*');

		if (star == NULL)
			list_under(filters, shared, KEY_NAME, names, strlen(names));
		else
			list_under(filters, shared, KEY_BEGINNING, names, star - names);
		names = filter_next_name(names);
	}
}

static void
list(Filters *filters, SharedFilter *shared)
{
	const Filter *filter = shared->filter;
	const char *types = filter_names(filter);
	const char *names = types;
	bool		track = filter->ntypes < 0;

	for (int i = 0; i < filter->ntypes; i++)
	{
		if (strcmp(names, "track") == 0)
			track = true;
		names = filter_next_name(names);
	}
	if (filter->nevents >= 0 && track)
		list_under_names(filters, shared, names);
	if (filter->ntypes < 0)
		list_under(filters, shared, filter->nevents >= 0 ? KEY_NOT_TRACK : KEY_NOTHING, "", 0);
	for (int i = 0; i < filter->ntypes; i++)
	{
		if (filter->nevents < 0 || strcmp(types, "track") != 0)
			list_under(filters, shared, KEY_TYPE, types, strlen(types));
		types = filter_next_name(types);
	}
}

/* ---------------------------------------------------------------------
 * Filters
 * ---------------------------------------------------------------------
 */
SharedFilter *
filters_share(Filters *filters, const Filter *filter)
{
	FilterEntry *entry = shared_lookup(filters->all, filter);
	SharedFilter *shared;
	Size		size = offsetof(Filter, data) + filter->size;
	bool		found;

	if (entry != NULL)
		return entry->shared;
	shared = MemoryContextAllocZero(filters->context, sizeof(SharedFilter));
	shared->filter = MemoryContextAlloc(filters->context, size);
	memcpy(shared->filter, filter, size);
	entry = shared_insert(filters->all, shared->filter, &found);
	entry->shared = shared;
	list(filters, shared);
	return shared;
}

/* The first place whose id is not less. */
static int
place_of(const SharedFilter *shared, int32 id)
{
	int			from = 0;
	int			to = shared->nids;

	/* they mostly come in their order */
	if (to > 0 && shared->ids[to - 1] < id)
		return to;
	while (from < to)
	{
		int			middle = from + (to - from) / 2;

		if (shared->ids[middle] < id)
			from = middle + 1;
		else
			to = middle;
	}
	return from;
}

void
filters_add(Filters *filters, SharedFilter *shared, int32 id)
{
	int			at = place_of(shared, id);

	if (at < shared->nids && shared->ids[at] == id)
		return;
	if (shared->nids == shared->size)
	{
		int			size = Max(1, shared->size + shared->size / 2 + shared->size % 2);

		shared->ids = shared->ids == NULL ?
			MemoryContextAlloc(filters->context, size * sizeof(int32)) :
			repalloc_huge(shared->ids, size * sizeof(int32));
		shared->size = size;
	}
	memmove(&shared->ids[at + 1], &shared->ids[at], (shared->nids - at) * sizeof(int32));
	shared->ids[at] = id;
	shared->nids++;
}

void
filters_remove(SharedFilter *shared, int32 id)
{
	int			at = place_of(shared, id);

	if (at == shared->nids || shared->ids[at] != id)
		return;
	shared->nids--;
	memmove(&shared->ids[at], &shared->ids[at + 1], (shared->nids - at) * sizeof(int32));
}

/* ---------------------------------------------------------------------
 * Asking
 * ---------------------------------------------------------------------
 */
static void
ask_under(Filters *filters, KeyKind kind, const char *text, int len, FilterAsk ask, void *arg)
{
	KeyEntry   *entry = keys_lookup(filters->keys, (Key) {kind, len, text});

	for (Listed *listed = entry == NULL ? NULL : entry->first; listed != NULL; listed = listed->next)
	{
		SharedFilter *shared = listed->shared;

		CHECK_FOR_INTERRUPTS();
		if (shared->asked == filters->asked || shared->nids == 0)
			continue;
		shared->asked = filters->asked;
		ask(shared, arg);
	}
}

void
filters_ask(Filters *filters, const FilteredEvent *event, FilterAsk ask, void *arg)
{
	int			len = event->name == NULL ? -1 : (int) strlen(event->name);

	filters->asked++;
	ask_under(filters, KEY_NOTHING, "", 0, ask, arg);
	if (event->type != NULL)
		ask_under(filters, KEY_TYPE, event->type, strlen(event->type), ask, arg);
	if (!event->is_track)
	{
		ask_under(filters, KEY_NOT_TRACK, "", 0, ask, arg);
		return;
	}
	if (len < 0)
		return;					/* of names, none will do */
	ask_under(filters, KEY_NAME, event->name, len, ask, arg);
	for (int i = 0; i < filters->nlengths; i++)
	{
		if (filters->lengths[i] <= len)
			ask_under(filters, KEY_BEGINNING, event->name, filters->lengths[i], ask, arg);
	}
}
