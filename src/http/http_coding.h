/*-------------------------------------------------------------------------
 *
 * http_coding.h
 *		How the body of an answer is packed.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_HTTP_CODING_H
#define RSWEBHOOK_HTTP_CODING_H

#include "http/transfer.h"

/* The value of a Content-Encoding or Transfer-Encoding. */
extern void http_coding_note(Transfer *t, const char *value, size_t len);

/*
 * May libcurl unpack it?  What it does with a few bytes of several codings, or of one
 * with a large window, may take as long and as much memory as their sender likes.
 */
extern bool http_coding_is_cheap(const Transfer *t);

#endif							/* RSWEBHOOK_HTTP_CODING_H */
