/*-------------------------------------------------------------------------
 *
 * http_book.c
 *		The HTTP room, its address book: the names that are remembered, and the
 *		addresses of each.
 *
 * See transfer.h for the rules of the room.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "http/http_book.h"
#include "http/http_dns_socket.h"
#include "http/transfer.h"

/* Names that are remembered; a new one takes the place of the oldest. */
#define MAX_NAMES			1000

#define BUCKETS				256

static Name *buckets[BUCKETS];
static Name *eldest = NULL;
static Name *youngest = NULL;
static int	nnames = 0;

/* ---------------------------------------------------------------------
 * Names
 * ---------------------------------------------------------------------
 */

static Name **
bucket_of(const char *host)
{
	unsigned	hash = 2166136261u;

	for (; *host != '\0'; host++)
		hash = (hash ^ (unsigned char) *host) * 16777619u;
	return &buckets[(hash ^ (hash >> 16)) % BUCKETS];
}

static bool
is_asked(const Name *name)
{
	bool		asked = name->asking;

	for (int i = 0; i < 2; i++)
	{
		const Family *family = &name->family[i];

		asked = asked || family->lookups + family->patient + family->stale > 0;
	}
	return asked;
}

static void
add_youngest(Name *name)
{
	name->younger = NULL;
	if (youngest != NULL)
		youngest->younger = name;
	else
		eldest = name;
	youngest = name;
}

/* Forget the eldest one, unless it is asked for: then it counts as new. */
static void
forget_eldest(void)
{
	Name	   *name = eldest;
	Name	  **link;

	eldest = name->younger;
	if (eldest == NULL)
		youngest = NULL;
	if (is_asked(name))
	{
		add_youngest(name);
		return;
	}
	link = bucket_of(name->host);
	while (*link != NULL && *link != name)
		link = &(*link)->next;
	if (*link != NULL)
		*link = name->next;
	free(name);
	nnames--;
}

Name *
http_book_find(const char *host)
{
	Name	  **bucket = bucket_of(host);
	Name	   *name;
	size_t		size = strlen(host) + 1;

	for (name = *bucket; name != NULL; name = name->next)
	{
		if (strcmp(name->host, host) == 0)
			return name;
	}
	if (nnames >= MAX_NAMES)
		forget_eldest();
	name = calloc(1, sizeof(Name) + size);
	if (name == NULL)
		return NULL;
	memcpy(name->host, host, size);
	name->move_us = -1;
	for (int i = 0; i < 2; i++)
	{
		name->family[i].name = name;
		name->family[i].again_us = name->family[i].patient_us = -1;
	}
	name->next = *bucket;
	*bucket = name;
	add_youngest(name);
	nnames++;
	return name;
}

/* ---------------------------------------------------------------------
 * Addresses
 * ---------------------------------------------------------------------
 */

void
http_book_keep_ttl(Name *name, int ttl_s)
{
	if (ttl_s < name->ttl_s)
		name->ttl_s = ttl_s > MIN_TTL_S ? ttl_s : MIN_TTL_S;
}

void
http_book_forget_addresses(Family *family)
{
	family->naddresses = 0;
	family->addresses[0] = '\0';
}

void
http_book_keep_address(Name *name, const struct sockaddr *address, socklen_t len)
{
	bool		is_v6 = address->sa_family == AF_INET6;
	Family	   *family = &name->family[is_v6 ? 0 : 1];
	size_t		used = strlen(family->addresses);
	char		text[INET6_ADDRSTRLEN];
	const void *bytes = is_v6 ?
		(const void *) &((const struct sockaddr_in6 *) address)->sin6_addr :
		(const void *) &((const struct sockaddr_in *) address)->sin_addr;

	if (family->naddresses == MAX_ADDRESSES ||
		inet_ntop(address->sa_family, bytes, text, sizeof(text)) == NULL)
		return;
	family->naddresses++;
	if (is_v6 && used == 0)
		name->v4_first = !http_dns_is_reachable(address, len);
	snprintf(family->addresses + used, sizeof(family->addresses) - used,
			 is_v6 ? "%s[%s]" : "%s%s", used > 0 ? "," : "", text);
}

void
http_book_keep_answer(Name *name, const struct ares_addrinfo *result)
{
	for (const struct ares_addrinfo_cname *alias = result->cnames; alias != NULL;
		 alias = alias->next)
		http_book_keep_ttl(name, alias->ttl);
	for (const struct ares_addrinfo_node *node = result->nodes; node != NULL; node = node->ai_next)
	{
		if (node->ai_family != AF_INET6 && node->ai_family != AF_INET)
			continue;
		http_book_keep_address(name, node->ai_addr, node->ai_addrlen);
		http_book_keep_ttl(name, node->ai_ttl);
	}
}

bool
http_book_has_addresses(const Name *name)
{
	return name->family[0].naddresses > 0 || name->family[1].naddresses > 0;
}

const char *
http_book_addresses(const Name *name)
{
	static char addresses[2 * FAMILY_SIZE];
	const char *first = name->family[name->v4_first ? 1 : 0].addresses;
	const char *second = name->family[name->v4_first ? 0 : 1].addresses;

	snprintf(addresses, sizeof(addresses), "%s%s%s", first,
			 first[0] != '\0' && second[0] != '\0' ? "," : "", second);
	return addresses;
}
