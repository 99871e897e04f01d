/*-------------------------------------------------------------------------
 *
 * base64.c
 *		Bytes as text, and back.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/base64.h"

#include "base/base64.h"

char *
base64_encode(const void *bytes, int len)
{
	int			size = pg_b64_enc_len(len);
	char	   *text = palloc(size + 1);

	len = pg_b64_encode(bytes, len, text, size);
	text[len] = '\0';
	return text;
}

int
base64_decode(const char *text, void *bytes, int size)
{
	int			len = strlen(text);

	/* core's decoder goes on behind the padding */
	if (len == 0 || len % 4 != 0 || strcspn(text, "=") < len - 2)
		return -1;
	return pg_b64_decode(text, len, bytes, size);
}
