/*-------------------------------------------------------------------------
 *
 * transform.h
 *		Event and config become the request that RudderStack would send.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_TRANSFORM_H
#define RSWEBHOOK_TRANSFORM_H

#include "transform/values.h"

/*
 * The pure core.  Raises errors; reads no table.  limit: none of what it writes
 * has more bytes than that, be it the names of all params, the headers or the
 * endpoint.
 */
extern void transform_event(Jsonb *event, const TransformConfig *config, Size limit,
							Transformed *result);

/* Only what the event itself has as its headers. */
extern void transform_own_headers(Jsonb *event, NamedValues *headers);

/* An error if it has a problem. */
extern void transform_check(const Transformed *result);

/* The body of a request of any method that has one, whatever the config. */
extern void transform_body(Jsonb *event, JsonbValue *body);

#endif							/* RSWEBHOOK_TRANSFORM_H */
