/*-------------------------------------------------------------------------
 *
 * values.h
 *		What travels from room to room as a value: event + destination ->
 *		Transformed -> WireRequest, which http/http.h takes on.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_TRANSFORM_VALUES_H
#define RSWEBHOOK_TRANSFORM_VALUES_H

#include "http/values.h"
#include "utils/jsonb.h"

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
	bool		named_by_event; /* of a header in a Config: its name is a template's */
	bool		valued_by_event;	/* likewise its value, which is no source of a secret */
	bool		is_own;			/* of a param: the destination's, and not of an event */
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

/* How a body is written. */
typedef enum BodyFormat
{
	BODY_JSON,
	BODY_FORM,
	BODY_XML,
	BODY_UNKNOWN				/* to RudderStack; it cannot be sent */
} BodyFormat;

/* The result.  Lives in the memory context that was current. */
typedef struct Transformed
{
	const char *problem;		/* why the config does not go with the event, as a
								 * clause; then nothing else is set */
	bool		passthrough;	/* event carried a statusCode: body is the
								 * whole output, nothing below is set */
	bool		is_sendable;	/* its method is one of the five */
	const struct ConfigMapped *mapped;	/* whose mappings made it, as RudderStack's HTTP
										 * destination does; NULL: none */
	int64		paths_us;		/* of the processor that those took, if they have paths that
								 * may take long; also with a problem */
	JsonbValue	body;			/* an object; see json.h */
	BodyFormat	format;
	const char *xml_root;		/* with BODY_XML */
	bool		has_body;		/* POST, PUT and PATCH; mapped: it is not empty */
	NamedValues params;			/* settled */
	NamedValues headers;		/* default, config, event: later ones win */
	int			nconfigured;	/* so many of them come first, and are the config's */
	const NamedValue *displaced;	/* one of the config's that a name of the event's has
									 * displaced; NULL: none */
	JsonbValue	method;			/* usually a string */
	JsonbValue	endpoint;		/* string */
	bool		endpoint_settled;	/* url_endpoint_problem() has none with it */
	JsonbValue	user_id;		/* string */
} Transformed;

/* Of a request's line, and of an URL in it, so many bytes are shown. */
#define MAX_SHOWN		1024
#define SHOWN_MASK		"***"	/* a secret */

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
	bool		event_in_query; /* in whole or in part */
} WireRequest;

#endif							/* RSWEBHOOK_TRANSFORM_VALUES_H */
