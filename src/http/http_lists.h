/*-------------------------------------------------------------------------
 *
 * http_lists.h
 *		Where each request is.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_HTTP_LISTS_H
#define RSWEBHOOK_HTTP_LISTS_H

#include "http/transfer.h"

extern TransferList http_starting;
extern TransferList http_waiting;
extern TransferList http_running;
extern TransferList http_settling;
extern TransferList http_done;

/* One that is in none of them, or in another one. */
extern void http_lists_append(TransferList *list, Transfer *t);
extern void http_lists_move(TransferList *list, Transfer *t);

/* It has its answer. */
extern void http_lists_done(Transfer *t, int64_t now_us);

/* A fresh or reused one in the list of those that start; NULL: no memory. */
extern Transfer *http_lists_new(void);

/* Forget it, keeping its memory and its handle for another one. */
extern void http_lists_recycle(Transfer *t);

/* The one with that tag, or NULL; and how many there are. */
extern Transfer *http_lists_find(uint64_t tag);
extern int	http_lists_count(void);

#endif							/* RSWEBHOOK_HTTP_LISTS_H */
