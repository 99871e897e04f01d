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

/*
 * The answer as it is before anything came; as it is when a request cannot be
 * tried (refused: nor ever could be; lacking: for lack of something of ours);
 * when its name has no addresses; and as it is when libcurl is through.
 */
extern void http_answer_begin(Transfer *t);
extern void http_answer_not_tried(Transfer *t, bool refused, const char *error);
extern void http_answer_lacking(Transfer *t, const char *error);
extern void http_answer_unresolved(Transfer *t, const char *error, bool lacking);
extern void http_answer_judge(Transfer *t, CURLcode result);

/* Is there a whole head, and is it the answer, whatever became of the rest? */
extern bool http_answer_is_whole(const Transfer *t, CURLcode result);

/*
 * Did the request go out on a connection that was open before, or is shared
 * with others, without a single byte coming back?  Then it is to be sent again
 * on another one.
 */
extern bool http_answer_wants_repeat(Transfer *t, CURLcode result, int64_t now_us);

/* Half of a head has come over HTTP/2, which has been given up since. */
extern bool http_answer_head_is_lost(const Transfer *t);
/*
 * libcurl could not send the rest of a request, and so did not look whether the
 * answer had come: take that.
 */
extern void http_answer_overhear(Transfer *t);

/* Is it still to be seen whether what came early is a success? */
extern bool http_answer_is_early(const Transfer *t, CURLcode result);

/* It is none: the request did not arrive whole. */
extern void http_answer_refute(Transfer *t);

/* Did its connection come about, so that it could go out? */
extern bool http_answer_was_connected(const Transfer *t);

/* Does the result speak of the connection rather than of one request on it? */
extern bool http_answer_blames_connection(CURLcode result);

#endif							/* RSWEBHOOK_HTTP_ANSWER_H */
