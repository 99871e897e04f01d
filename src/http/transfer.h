/*-------------------------------------------------------------------------
 *
 * transfer.h
 *		What the files of the HTTP room share: the request in flight, and the
 *		connection that it uses.  What each file does for the others is in the
 *		header of its name.
 *
 * http.c has the doors and the cycle.  http_lists.c knows where each request is,
 * http_wait.c who waits, http_multi.c what libcurl has and wants, http_untold.c
 * what that does not tell, and http_finish.c how a request ends.
 *
 * One becomes a handle in http_request.c; http_message.c copies what is sent,
 * http_hop.c says where it goes, and http_redirect.c follows redirects.
 * http_answer.c listens to what comes back, http_coding.c knows how that may be packed,
 * http_result.c says what it is worth,
 * and http_time.c how long it may take.
 *
 * http_carry.c finds the connection that carries a request, http_connection.c
 * keeps them, and http_pool.c says who may use them; http_unasked.c knows what was
 * not said in answer; http_socket.c knows descriptors, and http_watch.c ends those
 * from which libcurl would read without an end; http_fair.c has those wait from which it
 * reads for long.
 *
 * http_names.c finds addresses, which http_book.c keeps; http_files.c reads the
 * files that say how, and http_dns.c asks name servers, by the sockets of
 * http_dns_socket.c.  http_curl.c stands below all others.
 *
 * What a request needs in order to begin may be lacking; what it needs from then on
 * comes from reserve.c, which also gives libcurl and c-ares their memory.
 *
 * These are the only files that know libcurl and c-ares, and nobody else includes
 * this header.  Their rules:
 *
 * - Nothing of PostgreSQL: no palloc, no ereport, no interrupts.  Memory is
 *   malloc's; libcurl's callbacks record what happened and return.
 * - Callbacks for a connection outlive the request that opened it, so they may
 *   not hold on to a Transfer.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_TRANSFER_H
#define RSWEBHOOK_TRANSFER_H

#include <curl/curl.h>

#include "http/values.h"

#if LIBCURL_VERSION_NUM < 0x074c00
#error "rswebhook needs libcurl 7.76 or later"
#endif

/* libcurl tells when a connection is about to be used since 7.80. */
#define HTTP_TELLS_CONNECTED	(LIBCURL_VERSION_NUM >= 0x075000)

/* Headers for which we have a line of our own; see http_message.c. */
#define HTTP_OWN_LINES		4

/* A request that was repeated so often has a connection to itself. */
#define HTTP_MAX_REPEATS	2

/* And so often it may turn from HTTP/1.1 back to HTTP/2. */
#define HTTP_MAX_TURNS		4

/* What is looked at so late has not had the time that has passed, or it does not matter. */
#define HTTP_LATE_US		(50 * 1000)

/* Sockets of a connection: one for each address that it tries at once. */
#define HTTP_MAX_SOCKETS	16

struct ConnectionAges;
struct Transfer;
struct Name;

/* All of a transfer's are of this kind. */
typedef struct HeaderLine
{
	struct curl_slist node;		/* comes first */
	bool		stays;			/* as in HttpHeader */
} HeaderLine;

typedef struct TransferList
{
	struct Transfer *first;
	struct Transfer *last;
} TransferList;

/*
 * What an answer belongs to.  Each has a cache of libcurl's to itself (share),
 * in which there is no other connection, so that we and not libcurl decide
 * which one a request uses, and can end any of them at any time.
 *
 * With HTTP/2 it carries several requests, and libcurl may open another one in
 * the same cache when the receiver takes no more of them.
 */
typedef struct Connection
{
	struct Pool *pool;
	CURLSH	   *share;
	struct Connection *prev;	/* in one of the pool's lists, if listed */
	struct Connection *next;
	struct Connection **listed;	/* that list; NULL: none */
	struct Connection *older;	/* in one of the lists by time, if aged */
	struct Connection *newer;
	struct ConnectionAges *aged;	/* that list; NULL: none */
	int			ntransfers;		/* requests that use it */
	struct Transfer *users;		/* these; over HTTP/1.1 there is one */
	struct Transfer *last_user;
	int			most;			/* of them at once */
	int			ncarried;		/* in all, since it was opened */
	bool		unopened;		/* it has no socket yet */
	bool		known;			/* it was connected, so its protocol is known */
	bool		multiplexed;	/* that is HTTP/2 */
	bool		agreed;			/* as TLS has said, which counts */
	bool		unnamed;		/* TLS was asked to name one, and has not */
	bool		guessed;		/* HTTP/1.1, for which the receiver has not asked */
	bool		ended;			/* it takes no more requests */
	bool		broken;			/* under those that use it, too */
	bool		unasked;		/* something came on it that nobody had asked for */
	bool		deserted;		/* a request of it was not taken, or is repeated */
	bool		remains;		/* something of an earlier one is in its cache */
	int64_t		opened_us;		/* when it was connected */
	int64_t		round_trip_us;	/* as the kernel saw it then */
	int64_t		unused_since_us;
	int64_t		spoke_us;		/* while it is used: when that began, something came, or
								 * one of several requests ended */
	int64_t		quiet_us;		/* since that, nothing was to be read on it then; 0:
								 * not known */
	int			nopened;		/* sockets, in all its life */
	int			nsockets;		/* that are open */
	int			sockets[HTTP_MAX_SOCKETS];
	int			vain_writes;	/* that it was ready for, and nothing was written */
	int64_t		written;		/* bytes, when it was last ready for more */
	void	   *tls;			/* OpenSSL's SSL on tls_socket, while that is open */
	int			tls_socket;
	bool		all_read;		/* from that, so nothing more will come */
} Connection;

/*
 * The connections of one owner to one origin, with one set of credentials: what
 * they have in common, and what is known of it.
 */
typedef struct Pool
{
	struct Pool *next;			/* in its bucket */
	uint32_t	hash;

	/* what its connections have in common; strings may be NULL */
	uint64_t	owner;
	char	   *origin;
	char	   *ca_cert;
	char	   *client_cert;
	char	   *client_key;
	char	   *proxy;
	char	   *no_proxy;

	int			nrequests;		/* that have joined it */
	int			nconnections;
	Connection *unused;			/* the last one used comes first */
	Connection *shared;			/* used, and can take more requests */
	Connection *spare;			/* ended; kept for its TLS sessions, and for the
								 * pool to remember what it has seen */
	int			opening;		/* not connected yet */
	bool		tls;
	bool		proxied;		/* and no_proxy does not name the host */
	bool		choice;			/* there are several addresses */
	bool		single;			/* the last one takes one request at a time */
	bool		loses;			/* answers over HTTP/2 were lost */
	bool		http1_asked;	/* it has asked for HTTP/1.1 ... */
	int64_t		http1_until_us;	/* ... or has taken something so, which is tried first until
								 * then */
	int64_t		vain_us;		/* since when nothing is taken over HTTP/2, as far as is
								 * known; 0: something was ... */
	int64_t		vain_until_us;	/* ... and until when that counts */
	int			probation;		/* requests on kept connections, up to PROBATION */
	bool		unasked;		/* something has come unasked: look closely ... */
	bool		babbles;		/* ... soon after an answer: each connection is
								 * for one request */
	int			most_streams;	/* that a connection has taken */
	bool		answered;		/* ever */
	int64_t		busy_until_us;	/* it keeps libcurl busy: known for that until then */
} Pool;

typedef struct Transfer
{
	struct Transfer *prev;
	struct Transfer *next;
	TransferList *list;

	CURL	   *easy;			/* is this one's as long as both live */
	bool		in_multi;
	bool		worn;			/* its handle had to connect; see recycle() */
	bool		holds_secrets;	/* certificates; do not keep the handle */
	bool		served;			/* its handle was used before */

	/* what to send: our own copies, in one block that serves many requests */
	char	   *block;
	size_t		block_size;
	const char *method;
	const char *url;
	struct curl_slist *headers; /* ours, so never curl_slist_free_all()'s */
	HeaderLine	own_lines[HTTP_OWN_LINES];	/* parts of headers */
	const char *body;			/* NULL: none */
	size_t		body_len;
	bool		event_in_query;
	char	   *target;			/* curl_free()'s: the URL of a later hop */
	char	   *location;		/* malloc's: where the answer sends us ... */
	bool		location_lost;	/* ... if there was memory for that */
	CURLU	   *parsed;			/* parsed_url, unless that is NULL */
	char	   *parsed_url;		/* perhaps of an earlier request */
	char	   *origin;			/* likewise: "https://host:443" */
	char	   *host;			/* part of origin's block: to be resolved; NULL:
								 * it is an address */
	int			port;
	bool		tried;			/* as in HttpRequest */
	int			max_redirects;
	int			hops_left;		/* of these */
	size_t		response_limit;

	/* what it may take (http_time.c); a time of -1: none */
	int			timeout_ms;		/* 0: none */
	int			connect_timeout_ms;
	int			least_speed;	/* bytes a second; 0: any */
	int			low_speed_s;	/* so long it may be slower */
	int64_t		started_us;
	int64_t		deadline_us;
	int64_t		connect_by_us;	/* while its connection is set up */
	int64_t		connecting_ms;	/* likewise, as libcurl was told; 0: nothing */
	int64_t		begin_by_us;	/* over HTTP/2, where it may never go out: when to look
								 * whether it has */
	int64_t		written_before; /* likewise, to its socket until then; -1: not known */
	int64_t		slow_since_us;
	int64_t		speed_at_us;	/* when to look at its speed again */
	int64_t		moved;			/* bytes, when that was done last */
	int64_t		look_at_us;		/* when to ask whether its time is up */
	int64_t		seen_us;		/* what has passed until then was its own, or was given
								 * back ... */
	bool		away;			/* ... as some was since libcurl has it */
	int64_t		lost_us;		/* what was given back a little at a time */

	CURLcode	setup;			/* why it cannot be sent */
	const char *failed_option;	/* which option that is; NULL: none */
	const char *failed_why;		/* what libcurl says to it */

	/* where it goes */
	Pool	   *pool;			/* the connections that it may use */
	Connection *connection;		/* the one that it uses ... */
	struct Transfer *next_user; /* ... with these */
	struct Transfer *previous_user;
	bool		proxied;		/* by way of a proxy */
	int			repeats;		/* because a connection that was kept had ended */
	int64_t		not_before_us;	/* wants a connection that was set up since */
	bool		gave_up;		/* HTTP/2, once in this attempt ... */
	bool		wants_http1;	/* ... and still does */
	bool		http1;			/* it goes out by HTTP/1.1 in place of HTTP/2 */
	bool		guessed;		/* its connection does, and the receiver has not asked for it */
	bool		http2;			/* its connection speaks that */
	bool		patient;		/* has waited for one that others set up */
	int64_t		wait_until_us;	/* in the lists waiting and settling */
	int64_t		waited_us;		/* for others' connections, before its own ... */
	int64_t		waits_since_us; /* ... and not counted in that yet */
	int64_t		settling_us;	/* likewise, the last wait */
	struct Name *name;			/* ... for this one's addresses; NULL: for a
								 * connection */
	struct curl_slist resolved[2];	/* addresses of host and proxy, for libcurl;
									 * data is malloc's */
	int			missing;		/* the family of those that it connects to of
								 * which was not known whether there are any; -1:
								 * none */
	CURLcode	vain;			/* what came of the others, while it goes on with
								 * those that were missing */

	/* what came back, begun anew with every redirect */
	HttpAnswer	answer;
	size_t		body_size;		/* allocated */
	size_t		body_seen;		/* decoded bytes that arrived */
	unsigned	nprogress;		/* calls for what came, whatever that was */
	int64_t		wire_from;		/* bytes of its socket before it was counted; -1: it is not */
	size_t		head_bytes;
	size_t		interim_bytes;	/* of these, which are no answer yet; over HTTP/2 only */
	int			head_lines;
	int			codings;		/* of its body, up to 2 */
	bool		costly;			/* one of them is, to unpack */
	bool		head_done;		/* a final head is complete */
	bool		flooded;		/* its connection was ended for what came without an end */
	bool		enough;			/* we ended it: its status says it all */
	bool		again;			/* we ended it: it is to be sent again */
	const char *fault;			/* we ended it: it is no sound answer */
	bool		opened;			/* a socket was opened for it */
	int			closed_seen;	/* sockets of its connection, when it was last
								 * looked at */
	bool		reached;		/* its time was up when an address had answered */
	bool		told_http1;		/* HTTP/1.1 was required of it, as libcurl has said */
	bool		connected;		/* it was about to be sent ... */
	int64_t		connected_us;	/* ... then */
	int			fd;				/* ... on this socket; -1: not known */
	bool		early;			/* over HTTP/1.1, a success came before all of it
								 * had arrived ... */
	int			early_fd;		/* ... at the other end of this, which is ours, as
								 * libcurl may close its own; or an answer may lie
								 * there that libcurl has not read; -1: none */
	int			overheard;		/* that one's status; 0: ask libcurl */
	int			lacking;		/* errno of why no socket could be opened, or 0 */
	struct curl_sockaddr address;	/* that was tried last */
	bool		barred;			/* the guard refused an address */
	char		why[256];		/* the guard's reason */
	char		curl_error[CURL_ERROR_SIZE];
} Transfer;

/* The first of two times, of which each is -1 for never. */
static inline int64_t
sooner(int64_t a, int64_t b)
{
	return a < 0 || (b >= 0 && b < a) ? b : a;
}

#endif							/* RSWEBHOOK_TRANSFER_H */
