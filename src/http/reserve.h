/*-------------------------------------------------------------------------
 *
 * reserve.h
 *		Memory for what must not fail, put by for the time when there is none.
 *
 * What one of these functions gives is for reserve_free() or reserve_realloc().
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_RESERVE_H
#define RSWEBHOOK_RESERVE_H

#include <stdbool.h>
#include <stddef.h>

/* Put it by, once; false: there is no memory for that. */
extern bool reserve_open(void);

extern void *reserve_malloc(size_t size);
extern void *reserve_calloc(size_t count, size_t size);
extern void *reserve_realloc(void *memory, size_t size);
extern char *reserve_strdup(const char *string);
extern char *reserve_strndup(const char *string, size_t most);
extern void reserve_free(void *memory);

/* Something of it is in use; or half of it; or once it was not enough. */
extern bool reserve_is_used(void);
extern bool reserve_is_low(void);
extern bool reserve_has_failed(void);

/* Can so much be had now, beside the reserve? */
extern bool reserve_is_spared(size_t size);

#endif							/* RSWEBHOOK_RESERVE_H */
