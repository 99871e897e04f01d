/*-------------------------------------------------------------------------
 *
 * values.h
 *		A destination, checked, as everybody else sees it.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_DESTINATION_VALUES_H
#define RSWEBHOOK_DESTINATION_VALUES_H

#include "datatype/timestamp.h"
#include "destination/secret.h"
#include "tables/values.h"
#include "transform/values.h"

/* The longest retry_window, deduplicate and disable_after, 365 days. */
#define MAX_WINDOW_US	(365.0 * USECS_PER_DAY)

/* What an HTTP status means to a destination that has a view of its own. */
typedef struct StatusOutcome
{
	int			status;
	int			outcome;		/* VerdictKind */
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
	TransactionId version;		/* xmin of its row: another one after any change */
	char	   *name;
	char	   *problem;		/* NULL; else why the row cannot be used (it came
								 * past the checks, by a restore say) */
	char	   *url;
	char	   *origin;			/* the URL, or of a template the default, by whose host and
								 * scheme others are judged; NULL: it has none */
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

	bool		ordered;
	int			max_in_flight;
	double		rate_limit;		/* events a second; 0: none */
	int			workers;		/* as many as it may have */

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
	int64		once_us;		/* its column deduplicate; 0: null */
	int64		disable_after_us;	/* 0: never */
} Destination;

#endif							/* RSWEBHOOK_DESTINATION_VALUES_H */
