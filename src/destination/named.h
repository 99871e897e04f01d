/*-------------------------------------------------------------------------
 *
 * named.h
 *		A destination by its name, of which a session keeps what it has asked for.
 *
 * Need a transaction.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_DESTINATION_NAMED_H
#define RSWEBHOOK_DESTINATION_NAMED_H

#include "destination/values.h"

/* What a sender has to know of it. */
typedef struct NamedDestination
{
	int32		id;
	int			parts;			/* how many workers it has (share.h) */
	bool		enabled;
	int64		once_us;		/* its column deduplicate; 0: null */
	char	   *problem;		/* NULL, or why it cannot be used */
} NamedDestination;

/* False: there is none.  A problem is in the current memory context. */
extern bool destination_named(const char *name, NamedDestination *found);

/* All of it, or NULL; good until the next call of any of these. */
extern const Destination *destination_by_name(const char *name);

#endif							/* RSWEBHOOK_DESTINATION_NAMED_H */
