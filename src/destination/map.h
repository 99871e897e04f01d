/*-------------------------------------------------------------------------
 *
 * map.h
 *		Which destinations have several workers, and the map that follows (share.h).
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_DESTINATION_MAP_H
#define RSWEBHOOK_DESTINATION_MAP_H

#include "shmem/share.h"

typedef struct Divided
{
	int32		id;
	int			parts;
} Divided;

/* The map as it is now.  Needs a transaction. */
extern ShareMap destination_map(void);

/* How many workers a destination has by that; one that is not in the table has one. */
extern int	destination_map_parts(int32 id);

/* All that have several, by their ids; good until destination_map() is called. */
extern const Divided *destination_divided(int *count);

#endif							/* RSWEBHOOK_DESTINATION_MAP_H */
