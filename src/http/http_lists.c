/*-------------------------------------------------------------------------
 *
 * http_lists.c
 *		The HTTP room, its lists: where each request is, and what becomes of its
 *		memory.
 *
 * It is in one of five lists: starting (until http_run() finds a connection for
 * it), waiting (for its host's addresses, or for a connection that is being set
 * up), running (libcurl has it), settling (it was answered before all of it had
 * arrived), and done (until http_next() hands out its answer).  A sixth list keeps
 * spare ones for their memory and handles.
 *
 * See transfer.h for the rules of the room.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include <stdlib.h>

#include "http/http_carry.h"
#include "http/http_connection.h"
#include "http/http_curl.h"
#include "http/http_hop.h"
#include "http/http_lists.h"
#include "http/http_multi.h"
#include "http/http_pool.h"
#include "http/http_request.h"
#include "http/http_socket.h"
#include "http/poller.h"
#include "http/reserve.h"
#include "http/transfer.h"

/* Requests kept for reuse, and what each may hold but for its handle. */
#define MAX_SPARE			128
#define MAX_SPARE_BLOCK		(16 * 1024)

TransferList http_starting;
TransferList http_waiting;
TransferList http_running;
TransferList http_settling;
TransferList http_done;

static TransferList spare;
static int	nspare = 0;
static int	nin_flight = 0;

void
http_lists_append(TransferList *list, Transfer *t)
{
	t->list = list;
	t->next = NULL;
	t->prev = list->last;
	if (list->last)
		list->last->next = t;
	else
		list->first = t;
	list->last = t;
}

static void
list_remove(Transfer *t)
{
	if (t->prev)
		t->prev->next = t->next;
	else
		t->list->first = t->next;
	if (t->next)
		t->next->prev = t->prev;
	else
		t->list->last = t->prev;
	t->list = NULL;
}

void
http_lists_move(TransferList *list, Transfer *t)
{
	list_remove(t);
	http_lists_append(list, t);
}

void
http_lists_done(Transfer *t, int64_t now_us)
{
	if (t->answer.lacking && !http_multi_is_broken())
		http_connection_give_way();
	t->answer.duration_us = now_us - t->started_us;
	http_lists_move(&http_done, t);
}

Transfer *
http_lists_new(void)
{
	Transfer   *t = spare.last; /* its memory is still in the caches */

	if (t != NULL)
	{
		list_remove(t);
		nspare--;
	}
	else
		t = calloc(1, sizeof(*t));
	if (t == NULL)
		return NULL;
	t->early_fd = -1;
	nin_flight++;
	http_lists_append(&http_starting, t);
	return t;
}

/*
 * The handle is not reset: curl_easy_reset() does not tell when it runs out of
 * memory, and the handle is broken then.  So it still counts how often libcurl
 * had to repeat a request because a connection that was kept had been closed,
 * and gives up at the sixth time: one that had to connect at all is not kept.
 */
void
http_lists_recycle(Transfer *t)
{
	bool		keep = nspare < MAX_SPARE && !reserve_is_used();
	bool		keep_handle = keep && http_handles_keep() && !t->worn && !t->holds_secrets;
	bool		keep_block = keep && t->block_size <= MAX_SPARE_BLOCK;
	bool		keep_url = keep_block && t->target == NULL && t->parsed_url != NULL;
	Transfer	kept = {0};

	list_remove(t);
	nin_flight--;
	if (http_multi_is_broken())
		return;
	if (t->connection != NULL)
		http_carry_release(t, poller_clock());
	http_pool_leave(t);
	http_hop_forget_names(t);
	http_socket_drop_early(t);
	if (keep_handle)
	{
		kept.easy = t->easy;
		kept.served = true;
	}
	else
		curl_easy_cleanup(t->easy);
	if (keep_block)
	{
		kept.block = t->block;
		kept.block_size = t->block_size;
	}
	else
		free(t->block);
	if (keep_url)				/* it is in the block, too, so it is not long */
	{
		kept.parsed = t->parsed;
		kept.parsed_url = t->parsed_url;
		kept.origin = t->origin;
		kept.host = t->host;
		kept.port = t->port;
	}
	else
	{
		curl_url_cleanup(t->parsed);
		free(t->parsed_url);
		free(t->origin);
	}
	curl_free(t->target);
	reserve_free(t->location);
	free(t->answer.body);
	if (t->answer.error != http_no_memory)
		reserve_free(t->answer.error);

	if (keep)
	{
		*t = kept;
		/* now and not when it is wanted: the old one's memory fits exactly */
		if (t->easy == NULL)
			(void) http_request_open(t);
		http_lists_append(&spare, t);
		nspare++;
	}
	else
		free(t);
}

static Transfer *
find_in(const TransferList *list, uint64_t tag)
{
	Transfer   *t = list->first;

	while (t != NULL && t->answer.tag != tag)
		t = t->next;
	return t;
}

Transfer *
http_lists_find(uint64_t tag)
{
	const TransferList *lists[] = {&http_running, &http_starting, &http_waiting,
	&http_settling, &http_done};
	Transfer   *t = NULL;

	for (size_t i = 0; t == NULL && i < sizeof(lists) / sizeof(lists[0]); i++)
		t = find_in(lists[i], tag);
	return t;
}

int
http_lists_count(void)
{
	return nin_flight;
}
