/*-------------------------------------------------------------------------
 *
 * copy.h
 *		A destination in one piece of memory, to be kept.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_DESTINATION_COPY_H
#define RSWEBHOOK_DESTINATION_COPY_H

#include "destination/values.h"

/* masked: with what people see who may not see secrets.  pfree() frees it. */
extern const Destination *destination_copy(const Destination *dest, bool masked,
										   MemoryContext context);

#endif							/* RSWEBHOOK_DESTINATION_COPY_H */
