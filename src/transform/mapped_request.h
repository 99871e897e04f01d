/*-------------------------------------------------------------------------
 *
 * mapped_request.h
 *		Event and mappings become the request that RudderStack's HTTP destination would
 *		send.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_MAPPED_REQUEST_H
#define RSWEBHOOK_MAPPED_REQUEST_H

#include "transform/config.h"
#include "transform/values.h"

/*
 * config has no problem, and mappings.  What does not go with the event is
 * result->problem.  Raises errors.
 */
extern void mapped_request(Jsonb *event, const TransformConfig *config, Size limit,
						   Transformed *result);

#endif							/* RSWEBHOOK_MAPPED_REQUEST_H */
