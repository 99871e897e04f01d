/*-------------------------------------------------------------------------
 *
 * http_search.h
 *		The names that a host may be short for, as resolv.conf says.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_HTTP_SEARCH_H
#define RSWEBHOOK_HTTP_SEARCH_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Of a whole name, with a dot at its end.  One that is cut off here is too long to be
 * asked for, still.
 */
#define SEARCH_NAME_SIZE	300

/* What resolv.conf says by now. */
extern void http_search_read(const char *text, size_t size);

/*
 * The whole name that is asked for in that place of the search, from 0; false: there
 * are no more.
 */
extern bool http_search_name(const char *host, int place, char name[SEARCH_NAME_SIZE]);

#endif							/* RSWEBHOOK_HTTP_SEARCH_H */
