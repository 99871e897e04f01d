/*-------------------------------------------------------------------------
 *
 * encoding.h
 *		Bytes from outside as text that every database can hold.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_BYTES_H
#define RSWEBHOOK_BYTES_H

/*
 * A text datum: valid UTF-8 as it is where the database's encoding is UTF-8,
 * and any other byte (NUL, a broken sequence, in other encodings all but
 * ASCII) as \xNN.  Never fails.
 */
extern Datum readable_text(const char *bytes, size_t len);

#endif							/* RSWEBHOOK_BYTES_H */
