/*-------------------------------------------------------------------------
 *
 * transfer.h
 *		What the files of the HTTP room share: the request in flight, and the
 *		connection that it uses.
 *
 * http.c has the doors, the lists and the loop; http_request.c turns a request
 * into an easy handle and follows redirects; http_answer.c listens to what
 * comes back and judges it; http_time.c knows how long that may take;
 * http_pool.c keeps connections; http_unasked.c knows what was not said in
 * answer; http_socket.c knows descriptors; http_names.c finds addresses,
 * http_files.c reads the files that say how, and http_dns.c asks name servers.
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
#include <sys/stat.h>

#include "http/values.h"

#if LIBCURL_VERSION_NUM < 0x074c00
#error "rswebhook needs libcurl 7.76 or later"
#endif

/* libcurl tells when a connection is about to be used since 7.80. */
#define HTTP_TELLS_CONNECTED	(LIBCURL_VERSION_NUM >= 0x075000)

/* Headers for which we have a line of our own; see http_request.c. */
#define HTTP_OWN_LINES		4

/* A request that was repeated so often has a connection to itself. */
#define HTTP_MAX_REPEATS	2

/* Sockets of a connection: one for each address that it tries at once. */
#define HTTP_MAX_SOCKETS	16

struct Transfer;
struct Name;

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
	struct Connection *older;	/* of those that nobody uses, all pools' */
	struct Connection *newer;
	bool		unused;			/* is one of these */
	int			ntransfers;		/* requests that use it */
	struct Transfer *user;		/* over HTTP/1.1, the one that does */
	int			most;			/* of them at once */
	int			ncarried;		/* in all, since it was opened */
	bool		unopened;		/* it has no socket yet */
	bool		known;			/* it was connected, so its protocol is known */
	bool		multiplexed;	/* that is HTTP/2 */
	bool		ended;			/* it takes no more requests */
	bool		broken;			/* under those that use it, too */
	bool		deserted;		/* a request of it was not taken, or is repeated */
	bool		remains;		/* something of an earlier one is in its cache */
	int64_t		opened_us;		/* when it was connected */
	int64_t		round_trip_us;	/* as the kernel saw it then */
	int64_t		unused_since_us;
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
 * they have in common, and what http_pool.c and http_unasked.c know of it.
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
	bool		choice;			/* there are several addresses */
	bool		single;			/* the last one takes one request at a time */
	bool		http1;			/* answers over HTTP/2 were lost ... */
	bool		http2_only;		/* ... but it does not speak HTTP/1.1 */
	int			probation;		/* requests on kept connections, up to PROBATION */
	bool		suspect;		/* something has come unasked: look closely ... */
	bool		babbles;		/* ... soon after an answer: each connection is
								 * for one request */
	int			most_streams;	/* that a connection has taken */
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
	struct curl_slist own_lines[HTTP_OWN_LINES];	/* parts of headers */
	const char *body;			/* NULL: none */
	size_t		body_len;
	char	   *target;			/* curl_free()'s: the URL of a later hop */
	char	   *location;		/* malloc's: where the answer sends us */
	CURLU	   *parsed;			/* parsed_url, unless that is NULL */
	char	   *parsed_url;		/* perhaps of an earlier request */
	char	   *origin;			/* likewise: "https://host:443" */
	char	   *host;			/* part of origin's block: to be resolved; NULL:
								 * it is an address */
	int			port;
	int			hops_left;
	size_t		response_limit;

	/* what it may take (http_time.c); a time of -1: none */
	int			connect_timeout_ms;
	int			least_speed;	/* bytes a second; 0: any */
	int			low_speed_s;	/* so long it may be slower */
	int64_t		started_us;
	int64_t		deadline_us;
	int64_t		connect_by_us;	/* while its connection is set up */
	int64_t		connecting_ms;	/* likewise, as libcurl was told; 0: nothing */
	int64_t		begin_by_us;	/* over HTTP/2, where it may never go out: when to look
								 * whether it has */
	int64_t		slow_since_us;
	int64_t		speed_at_us;	/* when to look at its speed again */
	int64_t		moved;			/* bytes, when that was done last */
	int64_t		look_at_us;		/* when to ask whether its time is up */
	bool		spared;			/* it was to be over when we came back late */

	CURLcode	setup;			/* first failure of a curl_easy_setopt() */
	const char *failed_option;	/* whose that was */

	/* where it goes */
	Pool	   *pool;			/* the connections that it may use */
	Connection *connection;		/* the one that it uses */
	bool		proxied;		/* by way of a proxy */
	int			repeats;		/* because a connection that was kept had ended */
	int64_t		not_before_us;	/* wants a connection that was set up since */
	bool		http1;			/* HTTP/2 was given up for it */
	bool		patient;		/* has waited for one that others set up */
	int64_t		wait_until_us;	/* in the lists waiting and settling */
	int64_t		waited_us;		/* for others' connections, before its own ... */
	int64_t		waits_since_us; /* ... and not counted in that yet */
	int64_t		settling_us;	/* likewise, the last wait */
	struct Name *name;			/* ... for this one's addresses; NULL: for a
								 * connection */
	struct curl_slist resolved[2];	/* addresses of host and proxy, for libcurl;
									 * data is malloc's */

	/* what came back, begun anew with every redirect */
	HttpAnswer	answer;
	size_t		body_size;		/* allocated */
	size_t		body_seen;		/* decoded bytes that arrived */
	size_t		head_bytes;
	int			head_lines;
	bool		head_done;		/* a final head is complete */
	bool		enough;			/* we ended it: its status says it all */
	bool		again;			/* we ended it: it is to be sent again */
	const char *fault;			/* we ended it: it is no sound answer */
	bool		opened;			/* a socket was opened for it */
	int			closed_seen;	/* sockets of its connection, when it was last
								 * looked at */
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

/*
 * What those below tell those above, which set it: who waits for what happens
 * here, and what it means, is their affair.
 */
typedef struct HttpUpwards
{
	/* http.c: one of several addresses is tried; libcurl may forget the next one */
	void		(*trying) (void);

	/*
	 * http.c: libcurl was about to send a request again, on another connection:
	 * because its stream was refused, or because its connection is over, of
	 * which it may tell no other.
	 */
	void		(*deserted) (Connection *connection);

	/*
	 * http.c: it was answered before all of it had arrived: look soon what
	 * becomes of that, whether or not libcurl is through with it.
	 */
	void		(*answered_early) (Transfer *t);

	/*
	 * http.c: those that wait for this name, or for a connection of this pool,
	 * may go on; or, with an error, not.
	 */
	void		(*name_settled) (const struct Name *name, const char *error, bool lacking);
	void		(*pool_settled) (Pool *pool, bool failed);

	/* http_pool.c: a connection has its socket */
	void		(*opened) (Connection *connection);

	/*
	 * http_pool.c: it is about to be sent, from this port of ours.  False: not on
	 * this connection.
	 */
	bool		(*connected) (Transfer *t, int local_port);

	/* http_pool.c: the receiver has not taken it, and libcurl would send it again */
	void		(*not_taken) (Transfer *t);
} HttpUpwards;

/* ---- http_curl.c ---- */

extern HttpUpwards http_upwards;

/* The error of last resort: static, so never freed. */
extern char http_no_memory[];

/* After GOAWAY or REFUSED_STREAM, of which libcurl does not tell more. */
extern const char http_not_taken[];

extern void http_curl_init(const curl_version_info_data *info);

/* May a connection speak HTTP/2?  May a handle serve a second request? */
extern long http_version_wanted(void);
extern bool http_handles_keep(void);

/* ---- http_socket.c ---- */

/* See http_room(). */
extern int	http_socket_room(int max_connections, int kept_descriptors);

/* Sockets that are open, and how many there may be. */
extern int	http_sockets_open(void);
extern int	http_sockets_most(void);
extern void http_socket_init(HttpGuard guard);

/* libcurl's callbacks */
extern curl_socket_t http_on_open_socket(void *request, curlsocktype purpose,
										 struct curl_sockaddr *address);
extern int	http_on_close_socket(void *nobody, curl_socket_t fd);
#if HTTP_TELLS_CONNECTED
extern int	http_on_connected(void *request, char *remote_ip, char *local_ip,
							  int remote_port, int local_port);
#endif

/* Whose it is; NULL: nobody's that we know. */
extern Connection *http_socket_owner(int fd);

/* The one that a request went out on, or our own end of it; -1: it is closed. */
extern int	http_socket_used(const Transfer *t);

/*
 * Forget those of its sockets that libcurl has closed without a word: their
 * numbers may be those of the server's own files by now.
 */
extern void http_sockets_disown_closed(Connection *connection);

/* Neither libcurl nor the poller knows it, whatever was said of its number. */
extern void http_socket_is_others(int fd);

/* Forget whose the connection's sockets are. */
extern void http_sockets_disown(Connection *connection);

/*
 * End the connection as the other side sees it; libcurl finds that out.  For a
 * socket that http_sockets_disown_closed() has just left.
 */
extern void http_socket_shut(int fd);

typedef enum SocketState
{
	SOCKET_QUIET,				/* nothing to be read */
	SOCKET_SPOKE,				/* bytes */
	SOCKET_GONE					/* closed by the other side, or broken */
} SocketState;

extern SocketState http_socket_state(int fd);

/* Bytes that the other side has not acknowledged; -1: that cannot be known. */
extern int	http_socket_unacknowledged(int fd);

/* The other side has reset it, with what was under way and is to be read. */
extern bool http_socket_is_reset(int fd);

typedef enum Arrival
{
	ARRIVED,					/* the other side's system has all of it */
	ARRIVING,
	ARRIVES_NEVER				/* the connection has ended */
} Arrival;

/* Has all of the request arrived, as far as that can be known? */
extern Arrival http_socket_arrival(const Transfer *t);

/* Keep an eye on its socket, whatever libcurl does; and not any more. */
extern void http_socket_keep_early(Transfer *t);
extern void http_socket_drop_early(Transfer *t);

/* Bytes that were handed to it in all; -1: that cannot be known. */
extern int64_t http_socket_sent(int fd);

/* How long a byte takes there and back, in microseconds. */
extern int64_t http_socket_round_trip(int fd);

/* ---- http_pool.c ---- */

/* Learns what libcurl does. */
extern void http_pool_init(const curl_version_info_data *libcurl);

/*
 * Find or make the pool of connections that a request may use; false if there
 * is no memory.  For a later hop: the same owner's to that hop's origin.
 */
extern bool http_pool_join(Transfer *t, const HttpRequest *request);
extern bool http_pool_join_hop(Transfer *t, bool same_origin);
extern void http_pool_leave(Transfer *t);

/* Use a connection that is open, and new enough; false: there is none. */
extern bool http_pool_take(Transfer *t, int64_t now_us);

/* Is one being set up that may turn out to take several requests? */
extern bool http_pool_is_opening(const Transfer *t);

/* Use a new one.  False with the errno of what we lack for it. */
extern bool http_pool_open(Transfer *t, int *lacking);


/* Close some that nobody has used for a while, since we lack what they hold. */
extern void http_pool_give_way(void);

/* Might libcurl use what is left of an earlier one in its place? */
extern bool http_pool_hides_remains(const Transfer *t);

/* The request does not use its connection any more. */
extern void http_pool_release(Transfer *t, int64_t now_us);


/* It was sent, and libcurl wants to do that again, on another connection. */
extern void http_pool_not_taken(Transfer *t);

/*
 * Answers over HTTP/2 get lost on the way through libcurl.  True: the receiver is
 * spoken to by HTTP/1.1 from now on.  If it does not do that, it is not.
 */
extern bool http_pool_give_up_http2(Transfer *t);
extern void http_pool_needs_http2(Transfer *t);
extern bool http_pool_speaks_http1(const Transfer *t);

/* It has an answer, and libcurl knows more of the connection. */
extern void http_pool_answered(Transfer *t);

/*
 * One of several requests failed as if the connection had, or the other side
 * has closed it.  It takes no more of them; true: it has indeed ended, for all
 * of them, and nothing is left to be read, or nobody who would (unheard).
 */
extern bool http_pool_broken(Connection *connection, bool unheard);

/* libcurl was told that it could write; it may have nothing that it may. */
extern void http_pool_could_write(Connection *connection, int fd);

/* Something came on a socket that nobody listens to; ended: or its end. */
extern void http_pool_unasked(int fd, bool ended);

/*
 * How long a connection may live, in microseconds; close those that were
 * unused for too long; when is the next one, -1: never.
 */
extern void http_pool_set_lifetime(int64_t lifetime_us);
extern void http_pool_expire(int64_t now_us);
extern int64_t http_pool_next_expiry(void);

/* Whom it trusts, and its proxy, or NULL. */
extern bool http_pool_trusts_system(const Transfer *t);
extern const char *http_pool_proxy(const Transfer *t);
extern const char *http_pool_no_proxy(const Transfer *t);

/* ---- http_unasked.c ---- */

/*
 * The request is about to be sent, on a connection that was open before, or
 * that is new: has the other side said something already?
 */
extern bool http_unasked_on_kept(Transfer *t);
extern bool http_unasked_on_new(const Transfer *t);

/*
 * An answer begins to come, on a connection that was open before.  True: it
 * was under way when the request went out, so it is not to that.
 */
extern bool http_unasked_crossed(Transfer *t);

/* Something came unasked: from now on, look closely. */
extern void http_unasked_note(Connection *connection);

/* Over TLS, an answer is read even if the request cannot be sent to its end. */
extern void http_unasked_keep_listening(Connection *connection);

/* OpenSSL's SSL that the request is about to use; NULL: not to be had. */
extern void *http_unasked_tls(const Transfer *t);

/* ---- http_time.c ---- */

/* The attempt begins; libcurl has it from now on, once for each connection. */
extern void http_time_start(Transfer *t, const HttpRequest *request, int64_t now_us);
extern void http_time_run(Transfer *t, int64_t now_us);

/*
 * Of one that libcurl has: has it taken too long?  Then what is to be said of
 * that, good until the next call.  NULL: no, ask again at look_at_us.
 */
extern const char *http_time_is_up(Transfer *t, int64_t now_us);

/*
 * Likewise: is it held back?  Some receivers take no more streams before they
 * end a connection, and libcurl looks only at those that are in use.  Or is half
 * of its head lost?  That is looked at in a second, for those beside a lost answer.
 */
extern bool http_time_is_held(Transfer *t, int64_t now_us);
extern void http_time_look_soon(Transfer *t, int64_t now_us);

/* So much of its time was not its own. */
extern void http_time_give_back(Transfer *t, int64_t away_us, int64_t now_us);

/* ---- http_names.c ---- */

typedef enum NameState
{
	NAME_KNOWN,
	NAME_ASKED,					/* name_settled() comes later */
	NAME_FAILED
} NameState;

/*
 * The addresses of a host, as CURLOPT_RESOLVE takes them, good until the next
 * call; or why there are none, and whether that is because we lack something.
 */
extern NameState http_names_find(const char *host, struct Name **name,
								 const char **addresses, const char **error,
								 bool *lacking);

/*
 * Why nobody waits any longer for it, good until the next call, and whether that
 * may be because we lack something.
 */
extern const char *http_names_late(const struct Name *name, bool *lacking);

extern bool http_names_init(void);

extern void http_names_run(int64_t now_us);

/* So much of the time for look-ups was not theirs. */
extern void http_names_give_back(int64_t away_us);
extern int64_t http_names_next(void);

/* ---- http_dns.c ---- */

/* Is this descriptor one of the resolver's?  It does what it can. */
extern bool http_dns_event(int fd, int events);

/* ---- http_files.c ---- */

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

/* ---- http_request.c ---- */

/*
 * Initialization learns what libcurl can do.  Opening makes the handle, and
 * copying takes what must outlive http_start(); both are false if memory runs
 * out.  Following a redirect is false if the answer is none, or not one that
 * we follow: then it is the final answer.  Repeating prepares the same request
 * for a new connection.
 */
extern void http_request_init(const curl_version_info_data *libcurl);
extern bool http_request_open(Transfer *t);
extern bool http_request_copy(Transfer *t, const HttpRequest *request);
extern void http_request_setup(Transfer *t, const HttpRequest *request);
extern bool http_request_follow(Transfer *t);
extern bool http_request_repeat(Transfer *t);

/*
 * The addresses that it needs, or that it has to wait for them.  On failure
 * the request has its answer.
 */
extern NameState http_request_resolve(Transfer *t);

/* The last options: the connection, and the time that is left. */
extern void http_request_connect(Transfer *t, int64_t now_us);
extern void http_request_forget_names(Transfer *t);

/* ---- http_answer.c ---- */

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

#endif							/* RSWEBHOOK_TRANSFER_H */
