/*-------------------------------------------------------------------------
 *
 * filters_ask.h
 *		Which destinations' filters take an event, in the time that all have together.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_DESTINATION_FILTERS_ASK_H
#define RSWEBHOOK_DESTINATION_FILTERS_ASK_H

#include "destination/filters.h"

/* Their ids, in no order; in the current memory context.  NULL: none. */
extern int32 *filters_takers(Filters *filters, const FilteredEvent *event, int *count);

#endif							/* RSWEBHOOK_DESTINATION_FILTERS_ASK_H */
