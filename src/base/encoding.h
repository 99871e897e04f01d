/*-------------------------------------------------------------------------
 *
 * encoding.h
 *		Bytes from outside as text that every database can hold, and the
 *		database's text as UTF-8.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_ENCODING_H
#define RSWEBHOOK_ENCODING_H

/*
 * A text datum: valid UTF-8 as it is where the database's encoding is UTF-8,
 * and any other byte (NUL, a broken sequence, in other encodings all but
 * ASCII) as \xNN.  Never fails.
 */
extern Datum encoding_readable(const char *bytes, size_t len);

/*
 * What an error quotes of a text that somebody gave us, however long it is:
 * all of a short one, of others the beginning and "...".
 */
extern char *encoding_quotable(const char *text, int len);

extern bool encoding_is_ascii(const char *string, int len);

/*
 * Make it UTF-8; a string that is so already stays where it is.  False if a
 * database without an encoding (SQL_ASCII) holds something else.  In databases
 * other than UTF8 and SQL_ASCII, what is not ASCII needs a transaction here,
 * or client_encoding set to UTF8.
 */
extern bool encoding_to_utf8(const char **string, int *len);

/* And back; the string must end in a NUL, and so does the result. */
extern const char *encoding_from_utf8(const char *utf8, int len);

#endif							/* RSWEBHOOK_ENCODING_H */
