/*-------------------------------------------------------------------------
 *
 * base64.h
 *		Bytes as text, and back.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_BASE64_H
#define RSWEBHOOK_BASE64_H

extern char *base64_encode(const void *bytes, int len);

/* Decoded length, or -1 if it is not base64 or more than size bytes. */
extern int	base64_decode(const char *text, void *bytes, int size);

#endif							/* RSWEBHOOK_BASE64_H */
