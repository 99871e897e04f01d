/*-------------------------------------------------------------------------
 *
 * mask.h
 *		Secrets in what a receiver says are made unreadable.
 *
 * Secrets are in one piece of memory: each text is ended by a NUL, and the last one
 * by another.  They are looked for as they are and in base64, wherever they stand
 * in what that was made of, with any of their characters escaped as URLs, JSON or
 * HTML do, as UTF-8, Latin-1 or UTF-16.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_MASK_H
#define RSWEBHOOK_MASK_H

/* Shorter ones are in too many words to be masked. */
#define MASK_MIN_BYTES	6

/*
 * Put "***" in the place of each secret, and return how long the text is then.  cut:
 * it ended too early, so that its end may be the beginning of a secret.  Of a text
 * that is made to take time, the rest is masked.  secrets may be NULL; needs no memory.
 */
extern size_t mask_secrets(char *text, size_t len, bool cut, const char *secrets);

/* The same of a string, which was cut if it has as many bytes as it may have. */
extern void mask_string(char *text, size_t most, const char *secrets);

#endif							/* RSWEBHOOK_MASK_H */
