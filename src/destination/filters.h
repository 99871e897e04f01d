/*-------------------------------------------------------------------------
 *
 * filters.h
 *		All filters of a database, and the destinations that have each.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_DESTINATION_FILTERS_H
#define RSWEBHOOK_DESTINATION_FILTERS_H

#include "destination/filter.h"

/* How long its jsonpath takes, as far as it is known. */
typedef enum FilterPace
{
	FILTER_UNKNOWN,
	FILTER_QUICK,
	FILTER_SLOW
} FilterPace;

/* A filter, and the destinations that have it, by their ids. */
typedef struct SharedFilter
{
	Filter	   *filter;
	int32	   *ids;
	int			nids;
	int			size;
	uint64		asked;			/* when it was asked last */
	FilterPace	pace;
} SharedFilter;

typedef struct Filters Filters;

/* All memory is in the context. */
extern Filters *filters_make(MemoryContext context);

/* The one that is there already, or a copy of this one. */
extern SharedFilter *filters_share(Filters *filters, const Filter *filter);

/* A destination has it, or has not any more. */
extern void filters_add(Filters *filters, SharedFilter *shared, int32 id);
extern void filters_remove(SharedFilter *shared, int32 id);

/* Calls ask for each filter that may take an event, once. */
typedef void (*FilterAsk) (SharedFilter *shared, void *arg);
extern void filters_ask(Filters *filters, const FilteredEvent *event, FilterAsk ask, void *arg);

#endif							/* RSWEBHOOK_DESTINATION_FILTERS_H */
