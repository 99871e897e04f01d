/*-------------------------------------------------------------------------
 *
 * http_files.h
 *		The files that say how names are found.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_HTTP_FILES_H
#define RSWEBHOOK_HTTP_FILES_H

#include <sys/stat.h>

#include "http/transfer.h"

typedef struct HttpFile
{
	const char *path;
	bool		known;			/* it was read ... */
	struct stat seen;			/* ... when it was this; zeros: it was not there */
	uint64_t	hash;			/* of what it said */
	bool		was_empty;
	bool		doubted;		/* it is empty now, and was not */
	int64_t		again_us;		/* not to be read before */
} HttpFile;

typedef enum HttpFileState
{
	HTTP_FILE_SAME,
	HTTP_FILE_CHANGED,
	HTTP_FILE_LATER,			/* it may have changed: look at again_us */
	HTTP_FILE_UNREADABLE		/* errno */
} HttpFileState;

/* CHANGED: what it says now, which the caller frees. */
extern HttpFileState http_file_look(HttpFile *file, int64_t now_us, char **text, size_t *size);

/* Is it still the one that was looked at? */
extern bool http_file_is_same(const HttpFile *file);

/*
 * Has the hosts file changed?  LATER: until http_hosts_again(), what is found is of
 * an earlier version.
 */
extern HttpFileState http_hosts_look(int64_t now_us, unsigned *version);
extern int64_t http_hosts_again(void);

/* Is the name there?  Each address goes to the function, which may be NULL. */
typedef void HttpHostsAddress(void *arg, const struct sockaddr *address, socklen_t len);
extern bool http_hosts_find(const char *host, HttpHostsAddress *each, void *arg);

#endif							/* RSWEBHOOK_HTTP_FILES_H */
