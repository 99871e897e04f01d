/*-------------------------------------------------------------------------
 *
 * filter.h
 *		Which events a destination takes on its own account.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_DESTINATION_FILTER_H
#define RSWEBHOOK_DESTINATION_FILTER_H

#include "utils/jsonb.h"

#include "destination/consent.h"
#include "destination/fields.h"

/* What the filters of a row say, in one piece. */
typedef struct Filter
{
	uint32		hash;
	int32		size;			/* of data */
	int32		path;			/* where in data it is; -1: none */
	int32		consent;		/* likewise */
	int16		ntypes;			/* -1, as with events: all */
	int16		nevents;
	int16		nexcluded;
	int16		unused;			/* so that data is aligned */
	char		data[FLEXIBLE_ARRAY_MEMBER];	/* first the names, types before events,
												 * each with its NUL */
} Filter;

/* An event as filters see it; what it lacks is NULL. */
typedef struct FilteredEvent
{
	Jsonb	   *event;
	char	   *type;			/* trimmed, lower case */
	char	   *name;
	bool		alert;			/* about ourselves: for those only that ask for such */
	bool		is_track;		/* which alone is filtered by its name */
	Denied	   *denied;
} FilteredEvent;

/* alert: it is about ourselves, and of that type whatever it says */
extern void filter_read_event(Jsonb *event, bool alert, FilteredEvent *read);

/* In the current memory context.  May fail if the row is damaged. */
extern Filter *filter_read(const Row *row);

extern bool filter_is_same(const Filter *a, const Filter *b);

/* By all but its jsonpath. */
extern bool filter_may_take(const Filter *filter, const FilteredEvent *event);

/* By that, as filter_match() has it. */
extern bool filter_has_path(const Filter *filter);
extern bool filter_path_matches(const Filter *filter, const FilteredEvent *event, int ms, int64 *took_us,
								char **error);

/* The first of its names, and the one after another one. */
extern const char *filter_names(const Filter *filter);
extern const char *filter_next_name(const char *name);

#endif							/* RSWEBHOOK_DESTINATION_FILTER_H */
