/*-------------------------------------------------------------------------
 *
 * http_lookup.h
 *		The look-up of a name, by name servers.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_HTTP_LOOKUP_H
#define RSWEBHOOK_HTTP_LOOKUP_H

#include "http/http_book.h"

/* The names that are being looked up, each the next_asked of the one before. */
extern Name *http_lookups(void);

/*
 * Somebody waits for it from now on.  A family that is being asked for still,
 * for those who have given up on it or went on without it, is not asked twice,
 * unless that takes longer than anybody waits.
 */
extern void http_lookup_begin(Name *name, int64_t now_us);

/*
 * Whoever waits for it goes on, with what there is; it is looked up on if a family
 * is missing.
 */
extern void http_lookup_settle(Name *name, int64_t now_us);

/*
 * There are other name servers: they may know what the earlier ones did not.  The
 * search begins anew, too, but not if one family was found.
 */
extern void http_lookup_anew(Name *name, int64_t now_us);

/*
 * Why nobody waits any longer for it, good until the next call, and whether that
 * may be because we lack something.
 */
extern const char *http_lookup_late(const Name *name, bool *lacking);

/* Time that is not the name servers': what it waits for is so much later. */
extern void http_lookup_put_off(Name *name, int64_t by_us);

/* It goes to the next name of the search, if it is time; is anybody to be asked now? */
extern bool http_lookup_search_on(Name *name, int64_t now_us);

/* Whatever of it is due is done, but nobody is asked before not_before_us. */
extern void http_lookup_run(Name *name, int64_t now_us, int64_t not_before_us);

/* When http_lookup_run() is due, or http_lookup_search_on(). */
extern int64_t http_lookup_next(const Name *name);

#endif							/* RSWEBHOOK_HTTP_LOOKUP_H */
