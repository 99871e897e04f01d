/*-------------------------------------------------------------------------
 *
 * http.c
 *		The HTTP room: many requests at once through libcurl's multi interface.
 *
 * The doors of http.h, the lists of requests and the loop; http_private.h says
 * what the room's other files do and which rules hold for all of them.
 *
 * - A request is in one of three lists: starting (until http_run()
 *   hands it to libcurl), running, and done (until http_next() hands out its
 *   answer).  A fourth list keeps spare ones for their memory and handles.
 * - libcurl resolves names in threads, which inherit the signal mask.  No
 *   thread may ever take a signal that is meant for the process, so all
 *   signals are blocked around the calls that can start one.
 * - Nothing is ever cleaned up as a whole: curl_multi_cleanup() waits for
 *   resolver threads, and the process is about to end anyway.
 * - SIGPIPE is expected to be ignored, as PostgreSQL's processes do.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "http_private.h"
#include "poller.h"

#if POLLER_IN != CURL_POLL_IN || POLLER_OUT != CURL_POLL_OUT || \
	POLLER_IN != CURL_CSELECT_IN || POLLER_OUT != CURL_CSELECT_OUT
#error "the poller's and libcurl's events are expected to be the same bits"
#endif

/* Requests kept for reuse, and what each may hold but for its handle. */
#define MAX_SPARE			128
#define MAX_SPARE_BLOCK		(16 * 1024)

/*
 * Descriptors that sockets leave to the rest of the process: a server that
 * cannot open its own files is in more trouble than an event that has to wait.
 */
#define SPARE_DESCRIPTORS	32

/* Timer turns in one http_run(), so that the caller's other work gets its own. */
#define MAX_TIMER_TURNS		10

typedef struct RequestList
{
	Request    *first;
	Request    *last;
} RequestList;

static CURLM *multi = NULL;
static HttpGuard guard = NULL;
static long version_wanted = CURL_HTTP_VERSION_1_1;
static bool handles_keep = false;
static sigset_t all_signals;

static RequestList starting;
static RequestList running;
static RequestList done;
static RequestList spare;
static int	nspare = 0;
static int	nin_flight = 0;

/* When libcurl wants to be called at the latest; -1: never. */
static int64_t curl_deadline_us = -1;

/* Tags that there was not even memory for a Request for. */
static uint64_t *starved = NULL;
static int	nstarved = 0;
static int	max_starved = 0;

/* ---------------------------------------------------------------------
 * Lists and signals
 * ---------------------------------------------------------------------
 */

static void
list_append(RequestList *list, Request *r)
{
	r->list = list;
	r->next = NULL;
	r->prev = list->last;
	if (list->last)
		list->last->next = r;
	else
		list->first = r;
	list->last = r;
}

static void
list_remove(Request *r)
{
	if (r->prev)
		r->prev->next = r->next;
	else
		r->list->first = r->next;
	if (r->next)
		r->next->prev = r->prev;
	else
		r->list->last = r->prev;
	r->list = NULL;
}

static void
move_to(RequestList *list, Request *r)
{
	list_remove(r);
	list_append(list, r);
}

static void
block_signals(sigset_t *saved)
{
	pthread_sigmask(SIG_SETMASK, &all_signals, saved);
}

static void
restore_signals(const sigset_t *saved)
{
	pthread_sigmask(SIG_SETMASK, saved, NULL);
}

/* ---------------------------------------------------------------------
 * Sockets
 * ---------------------------------------------------------------------
 */

/* libcurl wants to hear of a socket's events. */
static int
on_interest(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket_arg)
{
	(void) easy;
	(void) arg;
	(void) socket_arg;
	poller_want(fd, what == CURL_POLL_REMOVE ? 0 : what);
	return 0;
}

/* libcurl wants to be called after so long. */
static int
on_timer(CURLM *unused, long timeout_ms, void *arg)
{
	(void) unused;
	(void) arg;
	if (timeout_ms < 0)
		curl_deadline_us = -1;
	else if (timeout_ms == 0)
		curl_deadline_us = 0;	/* with each request that is added */
	else
		curl_deadline_us = poller_clock() + (int64_t) timeout_ms * 1000;
	return 0;
}

/* Descriptors are given out from below, so the number of the last one tells. */
static int
socket_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur > INT_MAX)
		return INT_MAX;
	return (int) limit.rlim_cur - SPARE_DESCRIPTORS;
}

/* The guard looks at what is really connected to, whatever name led there. */
curl_socket_t
http_on_open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
	Request    *r = arg;
	int			fd;

	(void) purpose;
	if (guard != NULL && !guard(&address->addr, r->why, sizeof(r->why)))
	{
		r->barred = true;
		return CURL_SOCKET_BAD;
	}

	fd = socket(address->family, address->socktype, address->protocol);
	if (fd < 0 || fd >= socket_limit())
	{
		if (fd >= 0)
			close(fd);
		r->crowded = true;
		return CURL_SOCKET_BAD;
	}
	(void) fcntl(fd, F_SETFD, FD_CLOEXEC);
	poller_socket_opened(fd);
	r->opened = true;
	return fd;
}

/* Called for connections that outlive their request: arg is nobody's. */
int
http_on_close_socket(void *arg, curl_socket_t fd)
{
	(void) arg;
	poller_socket_closed(fd);
	return close(fd);
}

#if LIBCURL_VERSION_NUM >= 0x075000

/*
 * A connection is about to be used, perhaps one that was opened before the
 * guard's lists were changed: ask again.
 */
int
http_on_connected(void *arg, char *remote_ip, char *local_ip, int remote_port, int local_port)
{
	Request    *r = arg;
	union
	{
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	}			address;

	(void) local_ip;
	(void) remote_port;
	(void) local_port;
	memset(&address, 0, sizeof(address));
	if (inet_pton(AF_INET, remote_ip, &address.v4.sin_addr) == 1)
		address.v4.sin_family = AF_INET;
	else if (inet_pton(AF_INET6, remote_ip, &address.v6.sin6_addr) == 1)
		address.v6.sin6_family = AF_INET6;
	else
		return CURL_PREREQFUNC_OK;	/* its opening was looked at */

	if (guard == NULL || guard(&address.any, r->why, sizeof(r->why)))
		return CURL_PREREQFUNC_OK;
	r->barred = true;
	r->opened = false;
	return CURL_PREREQFUNC_ABORT;
}

#endif

/* ---------------------------------------------------------------------
 * The end of a request
 * ---------------------------------------------------------------------
 */

static void
move_to_done(Request *r, int64_t now_us)
{
	r->answer.duration_us = now_us - r->started_us;
	move_to(&done, r);
}

/* The request is not tried at all: see http_private.h. */
static void
fail_early(Request *r, bool refused, const char *error)
{
	http_answer_not_tried(r, refused, error);
	move_to_done(r, poller_clock());
}

/*
 * Forget a request, keeping its memory and its handle for another one.  The
 * handle is not reset: curl_easy_reset() does not tell when it runs out of
 * memory, and the handle is broken then.  So it still counts how often libcurl
 * had to repeat a request because a connection that was kept had been closed,
 * and gives up at the sixth time: one that had to connect at all is not kept.
 */
static void
recycle(Request *r)
{
	bool		keep = nspare < MAX_SPARE;
	bool		keep_handle = keep && handles_keep && !r->worn && !r->holds_secrets;
	bool		keep_block = keep && r->block_size <= MAX_SPARE_BLOCK;
	bool		keep_url = keep_block && r->target == NULL && r->parsed_url != NULL;
	Request		kept = {0};

	list_remove(r);
	nin_flight--;
	if (keep_handle)
		kept.easy = r->easy;
	else
		curl_easy_cleanup(r->easy);
	if (keep_block)
	{
		kept.block = r->block;
		kept.block_size = r->block_size;
	}
	else
		free(r->block);
	if (keep_url)				/* it is in the block, too, so it is not long */
	{
		kept.parsed = r->parsed;
		kept.parsed_url = r->parsed_url;
	}
	else
	{
		curl_url_cleanup(r->parsed);
		free(r->parsed_url);
	}
	curl_free(r->target);
	free(r->answer.body);
	if (r->answer.error != http_no_memory)
		free(r->answer.error);

	if (keep)
	{
		*r = kept;
		/* now and not when it is wanted: the old one's memory fits exactly */
		if (r->easy == NULL)
			(void) http_request_open(r);
		list_append(&spare, r);
		nspare++;
	}
	else
		free(r);
}

/* ---------------------------------------------------------------------
 * The loop
 * ---------------------------------------------------------------------
 */

/* Hand new requests and next hops to libcurl. */
static void
add_starting(void)
{
	while (starting.first != NULL)
	{
		Request    *r = starting.first;
		CURLMcode	rc = CURLM_OK;

		if (r->setup == CURLE_OK)
			rc = curl_multi_add_handle(multi, r->easy);
		if (r->setup != CURLE_OK)
			fail_early(r, r->setup == CURLE_URL_MALFORMAT ||
					   r->setup == CURLE_UNSUPPORTED_PROTOCOL,
					   curl_easy_strerror(r->setup));
		else if (rc != CURLM_OK)
			fail_early(r, false, curl_multi_strerror(rc));
		else
		{
			r->in_multi = true;
			move_to(&running, r);
		}
	}
}

/* Take what has ended out of libcurl. */
static void
collect_finished(void)
{
	int64_t		now_us = poller_clock();
	CURLMsg    *message;
	int			left;

	while ((message = curl_multi_info_read(multi, &left)) != NULL)
	{
		CURLcode	result = message->data.result;
		char	   *owner = NULL;
		long		connects = 0;
		Request    *r;

		if (message->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &owner);
		r = (Request *) owner;
		curl_easy_getinfo(r->easy, CURLINFO_NUM_CONNECTS, &connects);
		r->worn = r->worn || connects > 0;
		curl_multi_remove_handle(multi, r->easy);
		r->in_multi = false;
		if (result == CURLE_OK && http_request_follow(r))
			move_to(&starting, r);
		else
		{
			http_answer_judge(r, result);
			move_to_done(r, now_us);
		}
	}
}

/* Before anybody waits for the poller: it must know all that we wait for. */
static void
settle(void)
{
	poller_settle();
	poller_wake_at(starting.first ? 0 : curl_deadline_us);
}

static bool
timer_due(void)
{
	return curl_deadline_us >= 0 && curl_deadline_us <= poller_clock();
}

void
http_run(void)
{
	PollerEvent events[128];
	sigset_t	saved;
	int			nevents;
	int			still_running;

	if (multi == NULL)
		return;
	nevents = poller_wait(events, 128);
	if (nevents > 0 || starting.first != NULL || timer_due())
	{
		block_signals(&saved);
		for (int i = 0; i < nevents; i++)
			curl_multi_socket_action(multi, events[i].fd, events[i].events, &still_running);
		add_starting();
		for (int turn = 0; turn < MAX_TIMER_TURNS && timer_due(); turn++)
		{
			curl_deadline_us = -1;	/* it rings once; libcurl sets it anew */
			curl_multi_socket_action(multi, CURL_SOCKET_TIMEOUT, 0, &still_running);
		}
		collect_finished();
		restore_signals(&saved);
	}
	settle();
}

/* ---------------------------------------------------------------------
 * The doors
 * ---------------------------------------------------------------------
 */

static bool
set_up(const char **error)
{
	const curl_version_info_data *info;
	CURLM	   *fresh;

	sigfillset(&all_signals);
	if (curl_global_init(CURL_GLOBAL_ALL) != CURLE_OK)
	{
		*error = "could not initialize libcurl";
		return false;
	}
	info = curl_version_info(CURLVERSION_NOW);
	if (info->features & CURL_VERSION_HTTP2)
		version_wanted = CURL_HTTP_VERSION_2TLS;
	http_request_init(info);

	/*
	 * From 7.83 to 8.1, a handle that is used again keeps a pointer to the
	 * last header of its last answer, which is freed, and appends to it if an
	 * answer's first header begins with a blank.
	 */
	handles_keep = info->version_num < 0x075300 || info->version_num >= 0x080200;

	if (poller_fd() < 0 && !poller_open())
	{
		*error = "could not create an epoll or kqueue descriptor";
		return false;
	}

	fresh = curl_multi_init();
	if (fresh == NULL ||
		curl_multi_setopt(fresh, CURLMOPT_SOCKETFUNCTION, on_interest) != CURLM_OK ||
		curl_multi_setopt(fresh, CURLMOPT_TIMERFUNCTION, on_timer) != CURLM_OK ||
		curl_multi_setopt(fresh, CURLMOPT_PIPELINING, (long) CURLPIPE_MULTIPLEX) != CURLM_OK)
	{
		curl_multi_cleanup(fresh);
		*error = "could not set up libcurl's multi interface";
		return false;
	}
	multi = fresh;
	return true;
}

bool
http_init(HttpGuard the_guard, int max_connections, const char **error)
{
	int			kept;

	if (multi == NULL && !set_up(error))
		return false;
	guard = the_guard;

	/* idle connections must not take the last descriptors from the others */
	kept = socket_limit() / 2;
	if (kept > max_connections)
		kept = max_connections;
	(void) curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, kept > 0 ? (long) kept : 1L);

	/* Memory put by for the time when there is none. */
	if (max_connections > max_starved)
	{
		uint64_t   *longer = realloc(starved, max_connections * sizeof(*starved));

		if (longer == NULL)
		{
			*error = http_no_memory;
			return false;
		}
		starved = longer;
		max_starved = max_connections;
	}
	return true;
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

int
http_fd(void)
{
	return poller_fd();
}

/* A fresh or reused Request in the starting list, or NULL. */
static Request *
new_request(void)
{
	Request    *r = spare.last; /* its memory is still in the caches */

	if (r != NULL)
	{
		list_remove(r);
		nspare--;
	}
	else
		r = calloc(1, sizeof(*r));
	if (r == NULL)
		return NULL;
	nin_flight++;
	list_append(&starting, r);
	return r;
}

void
http_start(const HttpRequest *request)
{
	Request    *r = new_request();

	if (r == NULL)
	{
		if (nstarved < max_starved)
			starved[nstarved++] = request->tag;
		return;
	}

	r->started_us = poller_clock();
	r->deadline_us = -1;
	if (request->timeout_ms > 0)
		r->deadline_us = r->started_us + (int64_t) request->timeout_ms * 1000;
	r->response_limit = request->response_limit;
	r->hops_left = request->max_redirects;
	http_answer_begin(r);
	r->answer.tag = request->tag;

	if ((r->easy == NULL && !http_request_open(r)) || !http_request_copy(r, request))
		fail_early(r, false, http_no_memory);
	else
	{
		http_request_setup(r, request);
		if (r->fault)
			fail_early(r, false, r->fault);
	}
}

bool
http_next(HttpAnswer *answer)
{
	Request    *r = done.first;

	if (nstarved > 0)
	{
		memset(answer, 0, sizeof(*answer));
		answer->tag = starved[--nstarved];
		answer->phase = HTTP_PHASE_REFUSED;
		answer->retry_after_s = -1;
		answer->error = http_no_memory;
		return true;
	}
	if (r == NULL)
		return false;
	*answer = r->answer;
	memset(&r->answer, 0, sizeof(r->answer));
	recycle(r);
	return true;
}

void
http_answer_free(HttpAnswer *answer)
{
	free(answer->body);
	if (answer->error != http_no_memory)
		free(answer->error);
	answer->body = NULL;
	answer->error = NULL;
}

int
http_in_flight(void)
{
	return nin_flight + nstarved;
}

static Request *
find_in(const RequestList *list, uint64_t tag)
{
	Request    *r = list->first;

	while (r != NULL && r->answer.tag != tag)
		r = r->next;
	return r;
}

bool
http_cancel(uint64_t tag)
{
	Request    *r = find_in(&running, tag);
	sigset_t	saved;

	if (r == NULL)
		r = find_in(&starting, tag);
	if (r == NULL)
		r = find_in(&done, tag);
	if (r == NULL)
		return false;

	if (r->in_multi)
	{
		r->worn = true;
		block_signals(&saved);
		curl_multi_remove_handle(multi, r->easy);
		restore_signals(&saved);
	}
	recycle(r);
	settle();
	return true;
}

const char *
http_version(void)
{
	return curl_version();
}
