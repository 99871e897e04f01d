/*-------------------------------------------------------------------------
 *
 * http_answer.h
 *		What comes back.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_HTTP_ANSWER_H
#define RSWEBHOOK_HTTP_ANSWER_H

#include "http/transfer.h"

/* libcurl's callbacks for data */
extern size_t http_on_header(char *line, size_t one, size_t len, void *request);
extern size_t http_on_body(char *data, size_t one, size_t len, void *request);

/* Something has come: false if that is enough, of its body as it is packed or of whatever it was. */
extern bool http_answer_goes_on(Transfer *t, curl_off_t packed);

/*
 * The answer as it is before anything came; when it is none, and how far the
 * request got; when that cannot be tried (refused: nor ever could be; lacking:
 * for lack of something of ours); and when its name has no addresses.
 */
extern void http_answer_begin(Transfer *t);
extern void http_answer_failed(Transfer *t, HttpPhase phase, const char *error);
extern void http_answer_not_tried(Transfer *t, bool refused, const char *error);
extern void http_answer_lacking(Transfer *t, const char *error);

/* There is no memory for its body, which has so many bytes; 0: not known. */
extern void http_answer_lose_body(Transfer *t, size_t len);
extern void http_answer_unresolved(Transfer *t, const char *error, bool lacking);

/* libcurl's word on the last status line, since it reads them its own way. */
extern int	http_answer_status(const Transfer *t);
extern bool http_answer_is_success(int status);

/* Is all of the request with the kernel? */
extern bool http_answer_is_sent(const Transfer *t);

/* Half of a head has come over HTTP/2, which has been given up since. */
extern bool http_answer_head_is_lost(const Transfer *t);

/*
 * libcurl could not send the rest of a request, and so did not look whether the
 * answer had come: take that.
 */
extern void http_answer_overhear(Transfer *t);

#endif							/* RSWEBHOOK_HTTP_ANSWER_H */
