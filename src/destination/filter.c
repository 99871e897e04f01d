/*-------------------------------------------------------------------------
 *
 * filter.c
 *		Which events a destination takes on its own account.
 *
 * By its type, if it is a track event by its name, by the consent of its user, and
 * by a jsonpath predicate; all of them, where a row has several.  That names restrict
 * nothing but track events is how RudderStack filters.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "parser/scansup.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonpath.h"

#include "base/compat.h"
#include "destination/check.h"
#include "destination/filter.h"
#include "destination/filter_match.h"
#include "destination/table.h"

/* ---------------------------------------------------------------------
 * Events
 * ---------------------------------------------------------------------
 */

/* A message type as it is compared: trimmed, lower case. */
static char *
fold_type(const char *type, int len)
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

/* NULL if there is none, or of another type. */
static char *
string_of(Jsonb *event, const char *key)
{
	JsonbValue	value;

	if (getKeyJsonValueFromContainer(&event->root, key, strlen(key), &value) == NULL ||
		value.type != jbvString)
		return NULL;
	return pnstrdup(value.val.string.val, value.val.string.len);
}

/* The type of events about ourselves, as filters have it; nobody else's is of that type. */
static const char alert_type[] = "rswebhook.alert";

void
filter_read_event(Jsonb *event, bool alert, FilteredEvent *read)
{
	char	   *type = string_of(event, "type");

	*read = (FilteredEvent) {
		.event = event,
		.alert = alert,
		.type = type == NULL ? NULL : fold_type(type, strlen(type)),
		.name = string_of(event, "event"),
		.denied = consent_denied(event)
	};
	read->is_track = alert || (read->type != NULL && strcmp(read->type, "track") == 0);
	if (alert)
		read->type = pstrdup(alert_type);
	else if (read->type != NULL && strcmp(read->type, alert_type) == 0)
		read->type = NULL;
}

/* ---------------------------------------------------------------------
 * Rows
 * ---------------------------------------------------------------------
 */

/* Adds a list to the names; -1: there is none, or one that cannot be used. */
static int
add_names(StringInfo data, const Row *row, const char *column, bool fold)
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
			name = fold_type(name, strlen(name));
		appendBinaryStringInfo(data, name, strlen(name) + 1);
	}
	return count;
}

/* Adds the types; with that of alerts among them, no other one counts. */
static int
add_types(StringInfo data, const Row *row)
{
	int			count = add_names(data, row, "types", true);
	const char *type = data->data;

	for (int i = 0; i < count; i++)
	{
		if (strcmp(type, alert_type) == 0)
		{
			resetStringInfo(data);
			appendBinaryStringInfo(data, alert_type, sizeof(alert_type));
			return 1;
		}
		type = filter_next_name(type);
	}
	return count;
}

/* Adds a value where it is aligned; -1: there is none. */
static int
add_value(StringInfo data, const void *value)
{
	int			at = MAXALIGN(data->len);

	if (value == NULL)
		return -1;
	appendStringInfoSpaces(data, at - data->len);
	appendBinaryStringInfo(data, value, VARSIZE(value));
	return at;
}

Filter *
filter_read(const Row *row)
{
	Filter		head = {0};
	StringInfoData data;
	Filter	   *filter;

	StaticAssertStmt(offsetof(Filter, data) == MAXALIGN(offsetof(Filter, data)),
					 "data of a filter is not aligned");
	initStringInfo(&data);
	head.ntypes = add_types(&data, row);
	head.nevents = add_names(&data, row, "events", false);
	head.nexcluded = add_names(&data, row, "excluded_events", false);
	head.path = add_value(&data, fields_jsonpath(row, "filter"));
	head.consent = add_value(&data, fields_jsonb(row, "consent"));
	head.size = data.len;
	head.hash = hash_bytes((unsigned char *) data.data, data.len) ^
		((uint32) head.ntypes << 16) ^ (uint16) head.nevents ^ ((uint32) head.nexcluded << 8);
	filter = palloc(offsetof(Filter, data) + data.len);
	*filter = head;
	memcpy(filter->data, data.data, data.len);
	pfree(data.data);
	return filter;
}

bool
filter_is_same(const Filter *a, const Filter *b)
{
	return a->size == b->size && a->path == b->path && a->consent == b->consent &&
		a->ntypes == b->ntypes && a->nevents == b->nevents && a->nexcluded == b->nexcluded &&
		memcmp(a->data, b->data, a->size) == 0;
}

const char *
filter_names(const Filter *filter)
{
	return filter->data;
}

const char *
filter_next_name(const char *name)
{
	return name + strlen(name) + 1;
}

/* ---------------------------------------------------------------------
 * What it takes
 * ---------------------------------------------------------------------
 */

/* Longer names are not looked for in: that would take long. */
#define MAX_NAME	1024

/* NULL: it is not in there. */
static const char *
find_part(const char *name, size_t len, const char *part, size_t part_len)
{
	for (; len >= part_len; name++, len--)
	{
		if (memcmp(name, part, part_len) == 0)
			return name;
	}
	return NULL;
}

/* In a pattern, a '*' stands for anything, or for nothing. */
static bool
name_matches(const char *name, const char *pattern)
{
	const char *star = strchr(pattern, '*');
	size_t		len = strlen(name);
	size_t		first;

	if (star == NULL)
		return strcmp(name, pattern) == 0;
	if (len > MAX_NAME)
		return false;
	first = star - pattern;
	if (len < first || memcmp(name, pattern, first) != 0)
		return false;
	name += first;
	len -= first;
	for (;;)
	{
		const char *part = star + 1;
		const char *found;
		size_t		part_len;

		star = strchr(part, '*');
		if (star == NULL)		/* the rest is the name's end */
		{
			part_len = strlen(part);
			return part_len <= len && memcmp(name + len - part_len, part, part_len) == 0;
		}
		part_len = star - part;
		found = find_part(name, len, part, part_len);
		if (found == NULL)
			return false;
		len -= found + part_len - name;
		name = found + part_len;
	}
}

/* Skips the names. */
static bool
is_listed(const char *what, const char **names, int count, bool patterns)
{
	bool		listed = false;

	for (int i = 0; i < count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		listed = listed || (what != NULL &&
							(patterns ? name_matches(what, *names) : strcmp(what, *names) == 0));
		*names = filter_next_name(*names);
	}
	return listed;
}

static bool
takes_name(const Filter *filter, const FilteredEvent *event)
{
	const char *names = filter->data;
	bool		type = is_listed(event->type, &names, filter->ntypes, false) ||
		(filter->ntypes < 0 && !event->alert);
	bool		name = is_listed(event->name, &names, filter->nevents, true) || filter->nevents < 0;
	bool		excluded = is_listed(event->name, &names, filter->nexcluded, true);

	return type && (!event->is_track || (name && !excluded));
}

bool
filter_may_take(const Filter *filter, const FilteredEvent *event)
{
	const void *data = filter->data;

	return takes_name(filter, event) &&
		(filter->consent < 0 || event->denied == NULL ||
		 consent_allows(event->denied, (Jsonb *) ((char *) data + filter->consent)));
}

bool
filter_has_path(const Filter *filter)
{
	return filter->path >= 0;
}

bool
filter_path_matches(const Filter *filter, const FilteredEvent *event, int ms, int64 *took_us, char **error)
{
	const void *data = filter->data;

	return filter_match((JsonPath *) ((char *) data + filter->path), event->event, ms, took_us, error);
}
