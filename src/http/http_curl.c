/*-------------------------------------------------------------------------
 *
 * http_curl.c
 *		What stands below all other files of this folder: what this libcurl can
 *		do, whether it has the memory for that, the last words, and whom to tell.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include <stdlib.h>

#include "http/http_curl.h"
#include "http/reserve.h"
#include "http/transfer.h"

HttpUpwards http_upwards;

char		http_no_memory[] = "out of memory";
const char	http_sends_endlessly[] = "the other side sends without an end";
const char	http_not_taken[] = "the receiver refused the request or ended the connection";

static long version_wanted = CURL_HTTP_VERSION_1_1;
static bool handles_keep = false;

/* ---------------------------------------------------------------------
 * libcurl's memory
 *
 * What libcurl asks for does not fail, but what TLS and HTTP/2 ask for may: they
 * take it from the system.
 * ---------------------------------------------------------------------
 */

/* What a request takes as a rule until it waits for its answer. */
#define REQUEST_BYTES		((size_t) 64 * 1024)

/* More than that for each, so that a burst of them costs no more than one look. */
#define MANY				128
#define FEW					32
#define BYTES_OF_MANY(n)	((size_t) (n) * 128 * 1024)

/*
 * Somebody else in this process may have set libcurl up before: then it keeps the
 * memory that it has.
 */
bool
http_curl_open(void)
{
	/* libcurl would write the keys of each TLS connection there */
	unsetenv("SSLKEYLOGFILE");
	return reserve_open() &&
		curl_global_init_mem(CURL_GLOBAL_ALL, reserve_malloc, reserve_free, reserve_realloc,
							 reserve_strdup, reserve_calloc) == CURLE_OK;
}

bool
http_curl_lacks_memory(void)
{
	return !reserve_is_spared(REQUEST_BYTES);
}

int
http_curl_room(void)
{
	if (reserve_is_spared(BYTES_OF_MANY(MANY)))
		return MANY;
	return reserve_is_spared(BYTES_OF_MANY(FEW)) ? FEW : 0;
}

/* ---------------------------------------------------------------------
 * What it can do
 * ---------------------------------------------------------------------
 */

void
http_curl_init(const curl_version_info_data *info)
{
	/* several requests on a connection only where we see which one that is */
	if ((info->features & CURL_VERSION_HTTP2) && HTTP_TELLS_CONNECTED)
		version_wanted = CURL_HTTP_VERSION_2TLS;

	/*
	 * From 7.83 to 8.1, a handle that is used again keeps a pointer to the
	 * last header of its last answer, which is freed, and appends to it if an
	 * answer's first header begins with a blank.
	 */
	handles_keep = info->version_num < 0x075300 || info->version_num >= 0x080200;
}

long
http_version_wanted(void)
{
	return version_wanted;
}

bool
http_handles_keep(void)
{
	return handles_keep;
}
