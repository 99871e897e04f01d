/*-------------------------------------------------------------------------
 *
 * rswebhook.h
 *		The few structs that travel between the rooms, and each room's doors.
 *
 * Data flows one way: event + destination -> Transformed -> WireRequest ->
 * (http.h) HttpRequest -> HttpAnswer -> Verdict -> a row.  render.h has the
 * step from an event to its WireRequest as a whole.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_H
#define RSWEBHOOK_H

#include "postgres.h"

#include "datatype/timestamp.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "nodes/pg_list.h"
#include "utils/jsonb.h"

#include "base/compat.h"
#include "http/http.h"
#include "destination/secret.h"

/* As default_version in rswebhook.control. */
#define RSWEBHOOK_VERSION "1.0"

/* ---------------------------------------------------------------------
 * rswebhook.c: settings
 * ---------------------------------------------------------------------
 */
extern bool rswebhook_enabled;	/* the workers deliver */
extern int	rswebhook_max_event_size;	/* bytes of jsonb */
extern int	rswebhook_max_request_size; /* bytes of a body, and of all else that
										 * is written for a request */
extern int	rswebhook_response_body_limit;	/* bytes */
extern int	rswebhook_max_in_flight;	/* requests of a worker, all destinations
										 * together */
extern int	rswebhook_max_in_flight_size;	/* kB of their events */
extern int	rswebhook_connection_lifetime;	/* ms */
extern int	rswebhook_retention;	/* seconds */
extern char *rswebhook_user_agent;
extern int	rswebhook_synchronous_commit;	/* SyncCommitLevel */
extern int	rswebhook_max_databases;
extern int	rswebhook_workers;	/* of each database; see share.h */
extern char *rswebhook_secret_sources;

/* ---------------------------------------------------------------------
 * transform.c, flatten.c: event + config -> what RudderStack would send
 * ---------------------------------------------------------------------
 */

/*
 * Name and value as the transform made them.  A header's value may be any
 * JSON value here, as upstream; it becomes text in request.c.  Strings inside
 * the JsonbValues are not NUL-terminated and may point into the event or the
 * config.
 */
typedef struct NamedValue
{
	const char *name;
	int			name_len;
	JsonbValue	value;
	int			position;		/* where it was added to its list */
} NamedValue;

typedef struct NamedValues
{
	NamedValue *items;
	int			count;
	int			size;
	Size		bytes;			/* of all items and their names together */
	Size		limit;			/* no more of these; 0: any number */
} NamedValues;

/* A destination's Config, read once. */
typedef struct TransformConfig TransformConfig;

/* The result.  Lives in the memory context that was current. */
typedef struct Transformed
{
	bool		passthrough;	/* event carried a statusCode: body is the
								 * whole output, nothing below is set */
	JsonbValue	body;			/* jbvObject; see json.h */
	bool		has_body;		/* POST, PUT and PATCH */
	bool		has_params;		/* GET and DELETE */
	NamedValues params;			/* settled */
	NamedValues headers;		/* default, config, event: later ones win */
	int			nconfigured;	/* so many of them come first, and are not the
								 * event's */
	JsonbValue	method;			/* usually a string */
	JsonbValue	endpoint;		/* string */
	JsonbValue	user_id;		/* string */
} Transformed;

/*
 * RudderStack's Config as jsonb, which must outlive it.  Raises an error if it
 * is not an object; what else is wrong is raised by transform_event, since
 * RudderStack asks nothing of the config of an event that passes through.
 */
extern TransformConfig *transform_config_from_jsonb(Jsonb *config);

/*
 * A config made of parts that are already checked: headers is an object of
 * name to value, or NULL.  url NULL means "none needed" (the endpoint is then
 * empty unless the event has a fullPath): the bare request of a method.  The
 * parts are copied.
 */
extern TransformConfig *transform_config_from_parts(const char *url,
													const char *method,
													Jsonb *headers);

/*
 * The pure core.  Raises errors; reads no table.  limit: none of what it writes
 * has more bytes than that, be it the names of all params, the headers or the
 * endpoint.
 */
extern void transform_event(Jsonb *event, const TransformConfig *config, Size limit,
							Transformed *result);

/* The body of a request of any method that has one, whatever the config. */
extern void transform_body(Jsonb *event, JsonbValue *body);

/* flatten.c: RudderStack's flattening; out is settled afterwards. */
extern void flatten_value(const JsonbValue *value, NamedValues *out);

/* A list starts as zeroes.  Names and values are not copied. */
extern void named_values_add(NamedValues *list, const char *name, int name_len,
							 const JsonbValue *value);

/* Bring the names into jsonb's order; the last value of each name stays. */
extern void named_values_settle(NamedValues *list);

/* ---------------------------------------------------------------------
 * request.c: the request value
 * ---------------------------------------------------------------------
 */

/* Ready for libcurl but for timeouts and TLS; memory as with Transformed. */
typedef struct WireRequest
{
	char	   *method;
	char	   *url;			/* with the query */
	char	   *shown;			/* "POST https://host/path?token=***": no userinfo,
								 * values of the endpoint's own query masked,
								 * cut at a kilobyte */
	HttpHeader *headers;		/* with room for three more */
	int			nheaders;
	char	   *body;			/* NULL: none */
	size_t		body_len;
} WireRequest;

/* RudderStack's output form, for people. */
extern Jsonb *request_to_jsonb(const Transformed *transformed);

/*
 * The wire form.  False with *why (one line, no secret) if the request cannot
 * be sent: a passthrough event, a method outside the five, a URL that is not
 * http(s), a header name or value that HTTP does not allow, too much of
 * anything.
 */
extern bool request_to_wire(const Transformed *transformed, WireRequest *wire,
							char **why);

/* An error if no request with the event in its body could be sent. */
extern void request_check_size(Jsonb *event);

/* One of our own headers, whose names nobody else may use: webhook-id, ... */
extern void request_add_header(WireRequest *wire, const char *name, const char *value);

/* NULL if the header may be configured, else the reason it may not. */
extern const char *header_name_problem(const char *name, int len);
extern const char *header_value_problem(const char *value, int len);

/*
 * url.c: NULL if it is an http or https URL, or a host with or without a port,
 * that can be configured, else the reason it cannot.
 */
extern const char *url_problem(const char *url);
extern const char *url_host_problem(const char *host);

/*
 * NULL if an event's endpoint may be sent to with the credentials of the
 * destination that has this URL, else why not.  All in the server encoding.
 */
extern const char *url_origin_problem(const char *endpoint, int len, const char *url,
									  char **allowed_hosts, int nallowed_hosts);

/* A configured URL with the values of its query masked. */
extern char *url_masked(const char *url);

/*
 * Append the URL to send to, and the same with the values of the endpoint's
 * own query masked.  All in UTF-8.  NULL, or why it cannot be.
 */
extern const char *url_build(const char *endpoint, int len, const NamedValues *params,
							 StringInfo url, StringInfo shown);

/* ---------------------------------------------------------------------
 * destination.c: a destination's row -> validated, cached configuration
 * ---------------------------------------------------------------------
 */

/* What an attempt came to. */
typedef enum VerdictKind
{
	VERDICT_DELIVERED,
	VERDICT_RETRY,
	VERDICT_ABORTED,
	VERDICT_PAUSE				/* only as a status's configured outcome: the
								 * destination is paused, the event kept */
} VerdictKind;

/* What an HTTP status means to a destination that has a view of its own. */
typedef struct StatusOutcome
{
	int			status;
	int			outcome;		/* VerdictKind, see outcome.h */
} StatusOutcome;

/* How a destination authenticates itself, apart from its headers. */
typedef enum AuthType
{
	AUTH_NONE,
	AUTH_BASIC,
	AUTH_BEARER,
	AUTH_API_KEY
} AuthType;

typedef struct DestinationAuth
{
	AuthType	type;
	char	   *header;			/* the one that is made; NULL: none */
	char	   *username;		/* of AUTH_BASIC */
	Secret	   *secret;			/* password, token or key */
} DestinationAuth;

typedef struct SigningSecret
{
	Secret	   *secret;
	TimestampTz expires_at;		/* DT_NOEND: never */
} SigningSecret;

typedef struct Destination
{
	int32		id;
	char	   *name;
	char	   *problem;		/* NULL; else why the row cannot be used (it came
								 * past the checks, by a restore say) */
	char	   *url;
	char	   *method;
	TransformConfig *config;
	TransformConfig *masked_config; /* for those who may not see secrets */
	DestinationAuth auth;		/* its header is in config, too */
	bool		event_auth_headers; /* events may replace credentials */
	char	  **allowed_hosts;	/* others that an event may go to */
	int			nallowed_hosts;
	SigningSecret *signing_secrets; /* none: do not sign */
	int			nsigning_secrets;

	bool		enabled;
	bool		paused;

	char	  **types;			/* NULL: all; trimmed, lower case */
	int			ntypes;
	char	  **events;			/* NULL: all */
	int			nevents;

	bool		ordered;
	int			max_in_flight;
	double		rate_limit;		/* events a second; 0: none */

	int			connect_timeout_ms;
	int			timeout_ms;
	int			low_speed_limit;
	int			low_speed_time_s;
	int			max_redirects;
	char	   *ca_cert;
	Secret	   *client_cert;	/* NULL, as below: none */
	Secret	   *client_key;
	Secret	   *proxy;
	char	   *no_proxy;

	StatusOutcome *status_outcomes; /* sorted by status, none twice */
	int			nstatus_outcomes;
	int64		min_backoff_us;
	int64		max_backoff_us;
	double		retry_after_factor;
	int64		retry_window_us;
	int			min_attempts;
	int			breaker_failures;	/* 0: no breaker */
	int64		expires_after_us;	/* 0: never */
} Destination;

/*
 * The cache is this process's own, reread after any change of the table
 * (relcache invalidation, so at commit everywhere).  Pointers are good until
 * the next call of any of these functions, which somebody's trigger may make,
 * too.  Need a transaction.
 */
extern Destination *destination_by_name(const char *name);
extern Destination *destination_by_id(int32 id);
extern void destination_all(Destination ***list, int *count);

/* Grows whenever the cache was reread: compare to know that things changed. */
extern uint64 destination_generation(void);

/*
 * For a process that holds on to destinations, as the worker does over many
 * transactions: after destination_keep_replaced(), once a process, pointers
 * are good until it calls destination_free_replaced(), when it must hold none
 * but those of the last call.
 */
extern void destination_keep_replaced(void);
extern void destination_free_replaced(void);

/* Have the next call reread the table, whether or not it has heard of a change. */
extern void destination_forget(void);

/* Oid of one of the extension's tables or sequences in schema rswebhook. */
extern Oid	extension_relation(const char *name);

/* A message type as filters compare it: trimmed, lower case. */
extern char *fold_message_type(const char *type, int len);

/* ---------------------------------------------------------------------
 * send.c: enqueueing
 * ---------------------------------------------------------------------
 */

typedef struct SendOptions
{
	const char *destination;	/* NULL: every one whose filters let it through */
	const TimestampTz *deliver_after;	/* NULL: at once */
	const char *ordering_key;	/* NULL: the event's own; "": none */
	const Interval *expires_after;	/* NULL: the destination's own */
} SendOptions;

/*
 * Enqueue an event in the current transaction.  Needs no privilege of the
 * current user.  False: no destination takes it, and nothing was stored.
 */
extern bool send_event(Datum event, const SendOptions *options, int64 *id);

/* The key of the per-user order as rswebhook.queue holds it. */
extern int64 ordering_hash(const char *key, int len);

/* The ring slot for a moment; see rswebhook--1.0.sql. */
#define RING_SLOTS	10
extern int16 ring_slot(TimestampTz at);

/* ---------------------------------------------------------------------
 * state.c: shared memory, seen from a backend
 * ---------------------------------------------------------------------
 */

/* Rows of one destination (0: of any) that a transaction will make visible. */
typedef struct QueuedRange
{
	int32		destination_id;
	uint32		shares;			/* that they may be in; see share.h */
	int64		first_id;
	int64		last_id;
} QueuedRange;

extern void state_init(void);	/* from _PG_init while preloading */
extern bool state_available(void);	/* false: not preloaded */

/*
 * Remember that the current transaction queued these rows; the workers hear
 * of them when, and only when, it commits.
 */
extern void state_note_queued(const QueuedRange *range);

/* Likewise, that it changed what the workers know of destinations and the like. */
extern void state_note_changed(void);

/* WARNING with a hint, once a session, if nothing will be delivered. */
extern void state_warn_unavailable(void);

#endif							/* RSWEBHOOK_H */
