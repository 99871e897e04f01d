/*-------------------------------------------------------------------------
 *
 * http_coding.c
 *		The HTTP room, how the body of an answer is packed.
 *
 * libcurl unpacks all codings that it knows, whichever were asked for, one within the
 * other, and tells us only what comes out in the end: four times gzip, a kilobyte
 * unpacks to gigabytes of nothing.  So it is to unpack one at the most, of those that do
 * with a window of 32 kB.
 *
 * See transfer.h for the rules of the room.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include <string.h>

#include "http/ascii.h"
#include "http/http_coding.h"
#include "http/transfer.h"

static bool
is_one_of(const char *name, size_t len, const char *const *names)
{
	for (; *names != NULL; names++)
	{
		if (strlen(*names) == len && ascii_begin_same(name, *names, len))
			return true;
	}
	return false;
}

static void
note_one(Transfer *t, const char *name, size_t len)
{
	static const char *const none[] = {"", "identity", "chunked", NULL};
	static const char *const cheap[] = {"gzip", "x-gzip", "deflate", NULL};

	if (is_one_of(name, len, none))
		return;
	if (t->codings < 2)
		t->codings++;
	t->costly |= !is_one_of(name, len, cheap);
}

void
http_coding_note(Transfer *t, const char *value, size_t len)
{
	const char *end = value + len;

	while (value < end)
	{
		const char *comma = memchr(value, ',', end - value);
		const char *last = comma != NULL ? comma : end;

		while (value < last && ascii_is_space(*value))
			value++;
		len = last - value;
		while (len > 0 && ascii_is_space(value[len - 1]))
			len--;
		note_one(t, value, len);
		value = comma != NULL ? comma + 1 : end;
	}
}

bool
http_coding_is_cheap(const Transfer *t)
{
	return t->codings < 2 && !t->costly;
}
