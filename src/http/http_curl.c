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
#include <string.h>

#include "http/http_curl.h"
#include "http/transfer.h"

HttpUpwards http_upwards;

char		http_no_memory[] = "out of memory";
const char	http_not_taken[] = "the receiver refused the request or ended the connection";

static long version_wanted = CURL_HTTP_VERSION_1_1;
static bool handles_keep = false;
static bool ran_out = false;

/* ---------------------------------------------------------------------
 * libcurl's memory
 *
 * It has one result for memory that is lacking and for what is longer than it
 * takes, such as a header, so we look ourselves.
 * ---------------------------------------------------------------------
 */

static void *
noted(void *memory)
{
	ran_out |= memory == NULL;
	return memory;
}

static void *
on_malloc(size_t size)
{
	return noted(malloc(size));
}

static void *
on_realloc(void *memory, size_t size)
{
	return noted(realloc(memory, size));
}

static void *
on_calloc(size_t count, size_t size)
{
	return noted(calloc(count, size));
}

static char *
on_strdup(const char *string)
{
	return noted(strdup(string));
}

bool
http_curl_open(void)
{
	return curl_global_init_mem(CURL_GLOBAL_ALL, on_malloc, free, on_realloc, on_strdup,
								on_calloc) == CURLE_OK;
}

void
http_curl_begin(void)
{
	ran_out = false;
}

bool
http_curl_ran_out(void)
{
	return ran_out;
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
