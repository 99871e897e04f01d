/*-------------------------------------------------------------------------
 *
 * http_certificate.c
 *		The HTTP room, when a receiver's certificate ends.
 *
 * See transfer.h for the rules of the room.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "http/http_certificate.h"

void
http_certificate_ask(Transfer *t)
{
	(void) curl_easy_setopt(t->easy, CURLOPT_CERTINFO, 1L);
}

/* As OpenSSL writes it, "Dec 24 12:00:00 2026 GMT", or others, "2026-12-24 12:00:00 GMT". */
static int64_t
parse(const char *text)
{
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	struct tm	tm = {0};
	char		month[4];

	if (sscanf(text, "%3s %d %d:%d:%d %d GMT", month, &tm.tm_mday, &tm.tm_hour, &tm.tm_min,
			   &tm.tm_sec, &tm.tm_year) == 6 && strlen(month) == 3 && strstr(months, month) != NULL)
		tm.tm_mon = (int) (strstr(months, month) - months) / 3;
	else if (sscanf(text, "%d-%d-%d %d:%d:%d GMT", &tm.tm_year, &tm.tm_mon, &tm.tm_mday, &tm.tm_hour,
					&tm.tm_min, &tm.tm_sec) == 6)
		tm.tm_mon--;
	else
		return 0;
	tm.tm_year -= 1900;
	return (int64_t) timegm(&tm);
}

/* The first certificate is the receiver's own. */
int64_t
http_certificate_ends(const Transfer *t)
{
	static const char field[] = "Expire date:";
	struct curl_certinfo *info = NULL;

	if (curl_easy_getinfo(t->easy, CURLINFO_CERTINFO, &info) != CURLE_OK || info == NULL ||
		info->num_of_certs < 1)
		return 0;
	for (const struct curl_slist *line = info->certinfo[0]; line != NULL; line = line->next)
	{
		if (strncmp(line->data, field, sizeof(field) - 1) == 0)
			return parse(line->data + sizeof(field) - 1);
	}
	return 0;
}
