/*-------------------------------------------------------------------------
 *
 * guard.h
 *		The network guard: which addresses may be connected to.
 *
 * Two lists of networks, as text comma-separated: what is blocked, and what is
 * allowed all the same.  An element is an address, a network ("10.0.0.0/8") or
 * one of two words: "default" stands for what no webhook should ever go to
 * (link-local, the metadata services of clouds, multicast, reserved), "strict"
 * for that and everything else that is not the public internet, as IANA's
 * registries have it.
 *
 * An IPv6 address that is only a way of writing an IPv4 address, or of having
 * a translator connect to one, is judged as itself and as the IPv4 address: that
 * a translator's network is allowed does not allow what is blocked behind it.
 *
 * Pure: no PostgreSQL, no memory but the caller's and two tables here.  Not
 * thread safe; the lists are replaced as a whole.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_GUARD_H
#define RSWEBHOOK_GUARD_H

#include <stdbool.h>
#include <stddef.h>

struct sockaddr;

#define GUARD_MAX_NETWORKS	256

typedef struct GuardNetwork
{
	unsigned char address[16];	/* network order; IPv4 uses the first four */
	unsigned char size;			/* bytes of it in use: 4 or 16 */
	unsigned char bits;			/* length of the prefix */
	bool		strict;			/* of the word "strict" */
} GuardNetwork;

/* Flat, so that it can be copied as a value. */
typedef struct GuardList
{
	int			count;
	GuardNetwork networks[GUARD_MAX_NETWORKS];
} GuardList;

/* False with a full sentence in why if list is not well-formed. */
extern bool guard_parse(const char *list, GuardList *out, char *why, size_t why_size);

/*
 * The lists to judge by from now on, as text that guard_parse() accepted: what
 * it does not accept changes nothing.  "default" is blocked before any call.
 */
extern void guard_set_blocked(const char *list);
extern void guard_set_allowed(const char *list);

/*
 * May this address be connected to?  If not, why names the address and the
 * network that it is in, as part of a sentence.  Fits HttpGuard in http.h.
 */
extern bool guard_allows(const struct sockaddr *address, char *why, size_t why_size);

#endif							/* RSWEBHOOK_GUARD_H */
