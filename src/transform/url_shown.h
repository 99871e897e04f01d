/*-------------------------------------------------------------------------
 *
 * url_shown.h
 *		URLs as they are shown.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_URL_SHOWN_H
#define RSWEBHOOK_URL_SHOWN_H

#include "transform/values.h"

/* A configured URL with the values of its query masked. */
extern char *url_masked(const char *url);

/*
 * An URL that a receiver named, masked likewise, and without a user, a fragment and what
 * is not ASCII; cut at MAX_SHOWN.  Needs no memory.
 */
extern void url_show_foreign(const char *url, char shown[MAX_SHOWN + 1]);

#endif							/* RSWEBHOOK_URL_SHOWN_H */
