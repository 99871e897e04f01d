/*-------------------------------------------------------------------------
 *
 * http_private.h
 *		What the three files of the HTTP room share: the request in flight.
 *
 * http.c has the doors, the lists and the loop; http_request.c turns a request
 * into an easy handle and follows redirects; http_answer.c listens to what
 * comes back and judges it.  These three are the only files that know libcurl,
 * and nobody else includes this header.  Their rules:
 *
 * - Nothing of PostgreSQL: no palloc, no ereport, no interrupts.  Memory is
 *   malloc's; libcurl's callbacks record what happened and return.
 * - Callbacks for a connection outlive the request that opened it, so they may
 *   not hold on to a Request.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_HTTP_PRIVATE_H
#define RSWEBHOOK_HTTP_PRIVATE_H

#include <curl/curl.h>

#include "http.h"

struct RequestList;

/* Headers for which we have a line of our own; see http_request.c. */
#define HTTP_OWN_LINES		4

typedef struct Request
{
	struct Request *prev;
	struct Request *next;
	struct RequestList *list;

	CURL	   *easy;			/* is this Request's as long as both live */
	bool		in_multi;
	bool		worn;			/* its handle had to connect; see recycle() */
	bool		holds_secrets;	/* certificates; do not keep the handle */

	/* what to send: our own copies, in one block that serves many requests */
	char	   *block;
	size_t		block_size;
	const char *method;
	const char *url;
	struct curl_slist *headers; /* ours, so never curl_slist_free_all()'s */
	struct curl_slist own_lines[HTTP_OWN_LINES];	/* parts of headers */
	const char *body;			/* NULL: none */
	size_t		body_len;
	char	   *target;			/* curl_free()'s: the URL of a later hop */
	CURLU	   *parsed;			/* parsed_url, unless that is NULL */
	char	   *parsed_url;		/* perhaps of an earlier request */
	int			hops_left;
	size_t		response_limit;
	int64_t		started_us;
	int64_t		deadline_us;	/* -1: none */
	CURLcode	setup;			/* first failure of a curl_easy_setopt() */

	/* what came back, begun anew with every redirect */
	HttpAnswer	answer;
	size_t		body_size;		/* allocated */
	size_t		body_seen;		/* decoded bytes that arrived */
	size_t		head_bytes;
	int			head_lines;
	bool		head_done;		/* a final head is complete */
	bool		enough;			/* we ended it: its status says it all */
	const char *fault;			/* we ended it: it is no sound answer */
	bool		opened;			/* a socket was opened for it */
	bool		crowded;		/* there was no descriptor for a socket */
	bool		barred;			/* the guard refused an address */
	char		why[256];		/* the guard's reason */
	char		curl_error[CURL_ERROR_SIZE];
} Request;

/* The error of last resort: static, so never freed. */
extern char http_no_memory[];

/* http.c: libcurl's callbacks for sockets */
extern curl_socket_t http_on_open_socket(void *request, curlsocktype purpose,
										 struct curl_sockaddr *address);
extern int	http_on_close_socket(void *nobody, curl_socket_t fd);
#if LIBCURL_VERSION_NUM >= 0x075000
extern int	http_on_connected(void *request, char *remote_ip, char *local_ip,
							  int remote_port, int local_port);
#endif

/* http.c: may a connection speak HTTP/2? */
extern long http_version_wanted(void);

/* http.c: may a handle be used for a second request? */
extern bool http_handles_keep(void);

/*
 * http_request.c.  Initialization learns what libcurl can do.  Opening makes
 * the handle, and copying takes what must outlive http_start(); both are false
 * if memory runs out.  Following a redirect is false if the answer is none, or
 * not one that we follow: then it is the final answer.
 */
extern void http_request_init(const curl_version_info_data *libcurl);
extern bool http_request_open(Request *r);
extern bool http_request_copy(Request *r, const HttpRequest *request);
extern void http_request_setup(Request *r, const HttpRequest *request);
extern bool http_request_follow(Request *r);

/* http_answer.c: libcurl's callbacks for data */
extern size_t http_on_header(char *line, size_t one, size_t len, void *request);
extern size_t http_on_body(char *data, size_t one, size_t len, void *request);

/*
 * http_answer.c: the answer as it is before anything came; as it is when a
 * request cannot be tried (refused: nor ever could be); and as it is when
 * libcurl is through.
 */
extern void http_answer_begin(Request *r);
extern void http_answer_not_tried(Request *r, bool refused, const char *error);
extern void http_answer_judge(Request *r, CURLcode result);

#endif							/* RSWEBHOOK_HTTP_PRIVATE_H */
