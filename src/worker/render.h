/*-------------------------------------------------------------------------
 *
 * render.h
 *		An event and a destination become the request that is sent.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_RENDER_H
#define RSWEBHOOK_RENDER_H

#include "destination/values.h"
#include "tables/values.h"

typedef enum RenderResult
{
	RENDER_OK,
	RENDER_REFUSED,				/* this event can never be sent there */
	RENDER_NOT_NOW				/* a secret of the destination is not to be had */
} RenderResult;

/* A request, and the secrets that go with its connection. */
typedef struct Rendered
{
	WireRequest wire;
	char	   *client_cert;
	char	   *client_key;
	char	   *proxy;
	char	   *known;			/* its secrets, as mask.h wants them; NULL: none */
	Size		known_len;
	char		traceparent[TRACEPARENT_SIZE];	/* among its headers; "": none */
	int64		paths_us;		/* of the processor that mappings took; unless an error was raised */
} Rendered;

/*
 * In the current memory context.  Unless it is OK, *why is one line without a
 * secret.  Raises errors.
 */
extern RenderResult render_request(const StoredEvent *stored, int64 event_id,
								   const Destination *destination,
								   Rendered *rendered, char **why);

/* Bytes of what was rendered, and a copy of it in the current memory context. */
extern Size render_size(const Rendered *rendered);
extern void render_copy(Rendered *rendered);

#endif							/* RSWEBHOOK_RENDER_H */
