/*-------------------------------------------------------------------------
 *
 * known.h
 *		The secrets of a request, which must not be recorded when they come back.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_KNOWN_H
#define RSWEBHOOK_KNOWN_H

#include "destination/values.h"
#include "lib/stringinfo.h"
#include "transform/values.h"

/*
 * Append the secrets in what is sent, in the form that mask.h wants: values of
 * headers that the destination sets, and of the event's that are named like
 * credentials; those of the URL's query; literals of mappings; a key to sign with; the password
 * of a proxy.
 */
extern void known_of_request(const Transformed *transformed, const WireRequest *wire,
							 const Destination *destination, StringInfo known);
extern void known_signing_secret(const char *key, StringInfo known);
extern void known_proxy(const char *proxy, StringInfo known);

#endif							/* RSWEBHOOK_KNOWN_H */
