/*-------------------------------------------------------------------------
 *
 * doubts.c
 *		What a row of rswebhook.destination may have, but is hardly meant to.
 *
 * None of this is an error: settings can be changed later, a dump must be restored
 * without them, and an event may be of any type.  It is said once, when it gets into
 * a row.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <netdb.h>
#include <sys/socket.h>

#include "catalog/pg_type.h"
#include "utils/builtins.h"

#include "base/encoding.h"
#include "destination/check.h"
#include "destination/check_json.h"
#include "destination/doubts.h"
#include "destination/nearest.h"
#include "destination/secret.h"
#include "http/guard.h"
#include "http/no_proxy.h"
#include "transform/url.h"

typedef struct Doubt
{
	int			sqlerrcode;
	const char *message;
	const char *hint;
} Doubt;

static void
add(List **doubts, int sqlerrcode, const char *message, const char *hint)
{
	Doubt	   *doubt = palloc(sizeof(Doubt));

	*doubt = (Doubt) {sqlerrcode, message, hint};
	*doubts = lappend(*doubts, doubt);
}

/* Sources of secrets that may not be read. */
static List *
forbidden_sources(const DestinationFields *fields)
{
	const char *texts[] = {
		fields->client_cert, fields->client_key, fields->proxy,
		fields->auth_password, fields->auth_token
	};
	const char *problem;
	SigningSecret *signing = NULL;
	int			nsigning = 0;
	List	   *secrets = NIL;
	List	   *doubts = NIL;
	ListCell   *cell;

	for (int i = 0; i < lengthof(texts); i++)
	{
		if (texts[i] != NULL)
			secrets = lappend(secrets, secret_from_text(texts[i], &problem));
	}
	if (fields->signing_secrets != NULL)
		destination_secrets_read(fields->signing_secrets, &signing, &nsigning);
	for (int i = 0; i < nsigning; i++)
		secrets = lappend(secrets, signing[i].secret);
	if (fields->headers != NULL)
	{
		JsonbIterator *it = JsonbIteratorInit(&fields->headers->root);
		JsonbIteratorToken token;
		JsonbValue	value;

		while ((token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
		{
			if (token == WJB_VALUE)
				secrets = lappend(secrets, secret_from_json(&value, &problem));
		}
	}

	foreach(cell, secrets)
	{
		const Secret *secret = lfirst(cell);

		if (!secret_permitted(secret))
			add(&doubts, ERRCODE_INSUFFICIENT_PRIVILEGE,
				psprintf("%s is not permitted by rswebhook.secret_sources", secret_describe(secret)),
				"Until a superuser permits it, events for this destination wait.");
	}
	return doubts;
}

/* Those of RudderStack, which others may be beside, and that of alerts. */
static const char *const known_types[] = {
	"identify", "track", "page", "screen", "group", "alias", "merge", "extract", "record", "rswebhook.alert"
};

/* A type that is nearly one of these.  As they are compared, without blanks around it. */
static void
doubt_type(List **doubts, const char *given)
{
	char	   *type = pstrdup(given + strspn(given, " \t\r\n"));
	int			len = strlen(type);
	const char *nearest = NULL;

	while (len > 0 && strchr(" \t\r\n", type[len - 1]) != NULL)
		type[--len] = '\0';
	for (int i = 0; i < lengthof(known_types); i++)
	{
		int			distance = nearest_distance(type, known_types[i]);

		if (distance == 0)
			return;
		if (distance == 1)
			nearest = known_types[i];
	}
	if (nearest != NULL)
		add(doubts, ERRCODE_WARNING,
			psprintf("\"%s\" in column \"types\" is no type of event that RudderStack has",
					 encoding_quotable(type, len)),
			psprintf("Perhaps \"%s\" was meant.", nearest));
}

static void
doubt_types(List **doubts, ArrayType *types)
{
	Datum	   *elements;
	int			count;

	deconstruct_array(types, TEXTOID, -1, false, TYPALIGN_INT, &elements, NULL, &count);
	for (int i = 0; i < count; i++)
		doubt_type(doubts, TextDatumGetCString(elements[i]));
}

/*
 * What the network guard keeps every request from: an address that is blocked, as the
 * settings are now, unless a proxy connects to it.  Which network that is in is not
 * for everybody to know.
 */
static void
doubt_url(List **doubts, const DestinationFields *fields)
{
	const char *url = destination_origin(fields->url);
	char	   *host = url != NULL ? url_host(url) : NULL;
	struct addrinfo numbers = {.ai_flags = AI_NUMERICHOST, .ai_socktype = SOCK_STREAM};
	struct addrinfo *address;
	char		why[256];

	if (host == NULL || (fields->proxy != NULL && !no_proxy_names(fields->no_proxy, host, strlen(host))))
		return;
	if (host[0] == '[')
	{
		host[strlen(host) - 1] = '\0';
		host++;
	}
	if (getaddrinfo(host, NULL, &numbers, &address) != 0)
		return;					/* a name: where it leads is seen then */
	if (!guard_allows(address->ai_addr, why, sizeof(why)))
		add(doubts, ERRCODE_WARNING,
			psprintf("requests to the address \"%s\" are blocked by rswebhook.blocked_networks", host),
			"Until a superuser allows them, events for this destination are aborted.");
	freeaddrinfo(address);
}

static List *
doubts_of(const DestinationFields *fields)
{
	List	   *doubts = forbidden_sources(fields);

	if (fields->types != NULL)
		doubt_types(&doubts, fields->types);
	if (fields->url != NULL)
		doubt_url(&doubts, fields);
	return doubts;
}

static bool
is_among(const List *doubts, const Doubt *doubt)
{
	ListCell   *cell;

	foreach(cell, doubts)
	{
		if (strcmp(((const Doubt *) lfirst(cell))->message, doubt->message) == 0)
			return true;
	}
	return false;
}

void
doubts_warn(const DestinationFields *fields, const DestinationFields *before)
{
	List	   *doubts = doubts_of(fields);
	List	   *old = doubts != NIL && before != NULL ? doubts_of(before) : NIL;
	ListCell   *cell;

	foreach(cell, doubts)
	{
		const Doubt *doubt = lfirst(cell);

		if (!is_among(old, doubt))
			ereport(WARNING,
					(errcode(doubt->sqlerrcode),
					 errmsg_internal("%s", doubt->message),
					 errhint("%s", doubt->hint)));
	}
}
