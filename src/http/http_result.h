/*-------------------------------------------------------------------------
 *
 * http_result.h
 *		What a request came to.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_HTTP_RESULT_H
#define RSWEBHOOK_HTTP_RESULT_H

#include "http/transfer.h"

/* Did its connection come about, so that it could go out? */
extern bool http_result_was_connected(const Transfer *t);

/* How far has one come that is under way? */
extern HttpPhase http_result_phase(const Transfer *t);

/*
 * As what a result counts: with something behind what it can unpack, libcurl says that
 * the body could not be written.
 */
extern CURLcode http_result_of(const Transfer *t, CURLcode result);

/* Does the result speak of the connection rather than of one request on it? */
extern bool http_result_blames_connection(CURLcode result);

/*
 * Did the request go out on a connection that was open before, or is shared
 * with others, without a single byte of an answer coming back?  Then it is to be
 * sent again on another one.
 */
extern bool http_result_wants_repeat(Transfer *t, CURLcode result, int64_t now_us);

/*
 * Have all addresses that it had failed or been refused, while others were still
 * asked for?
 */
extern bool http_result_wants_rest(const Transfer *t, CURLcode result);

/* Is there a whole head, and is it the answer, whatever became of the rest? */
extern bool http_result_is_whole(const Transfer *t, CURLcode result);

/* Is it still to be seen whether what came early is a success? */
extern bool http_result_is_early(const Transfer *t, CURLcode result);

/*
 * If there was no memory to go on, or to unpack its body: its head is all there is
 * of the answer.
 */
extern void http_result_spare_body(Transfer *t, CURLcode result);

/* It is none: the request did not arrive whole. */
extern void http_result_refute(Transfer *t);

/* libcurl is through with it: the answer. */
extern void http_result_judge(Transfer *t, CURLcode result);

#endif							/* RSWEBHOOK_HTTP_RESULT_H */
