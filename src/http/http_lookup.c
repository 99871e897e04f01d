/*-------------------------------------------------------------------------
 *
 * http_lookup.c
 *		The HTTP room, its names: how one of them is looked up.
 *
 * IPv6 and IPv4 are asked for apart, so that a name server that is silent about one
 * of them does not hold up the other (RFC 8305, 3).  The look-up goes on meanwhile,
 * for those to whom the addresses that are there are of no use.  What has no answer
 * soon, or one of no use, is asked for patiently as well.
 *
 * See transfer.h for the rules of the room.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <string.h>

#include "http/http_book.h"
#include "http/http_curl.h"
#include "http/http_dns.h"
#include "http/http_dns_socket.h"
#include "http/http_lookup.h"
#include "http/http_search.h"
#include "http/poller.h"
#include "http/transfer.h"

/* All of a look-up, whatever the servers, rounds and search domains. */
#define LOOK_UP_US			(INT64_C(10) * 1000 * 1000)

/* Then name servers are given the rest of it to answer. */
#define PATIENT_AFTER_US	(1500 * 1000)

/* For addresses of the other family, once there are some. */
#define OTHER_FAMILY_US		(50 * 1000)

/*
 * From 1.31, c-ares gives up all that it has asked on a socket when there is an
 * answer to any of it that cannot be read; ask so often again, after a moment.
 * Where c-ares would not ask the next name server, they are asked patiently at once.
 */
#define MAX_REPEATS			4
#define REPEAT_US			(100 * 1000)

/*
 * That there is no such name is true of both families (RFC 8020), but some name servers
 * say it of IPv6 where they know IPv4 only.  So it counts if it is said of IPv4, and
 * nothing of IPv6 for so long.
 */
#define MOVE_US				(500 * 1000)

#define LATE				"Could not resolve host: %.200s (timed out)"


/*
 * Quick look-ups of one family at once: c-ares can take longer than anybody waits,
 * and another one begins with the first name server again.
 */
#define MAX_LOOKUPS			2

/* Likewise, of earlier rounds that have not ended: a family that is silent in each. */
#define MAX_STALE			8

/* Those that are being looked up. */
static Name *asked = NULL;

Name *
http_lookups(void)
{
	return asked;
}

/* ---------------------------------------------------------------------
 * What is found
 * ---------------------------------------------------------------------
 */

const char *
http_lookup_late(const Name *name, bool *lacking)
{
	static char text[300];
	const char *lack = http_dns_lack_since(name->asked_us);

	*lacking = lack != NULL;
	if (lack != NULL)
		return lack;
	snprintf(text, sizeof(text), LATE, name->host);
	return text;
}

/* Nobody is asked for it any longer. */
static void
end(Name *name)
{
	name->asking = false;
	name->move_us = -1;
	for (int i = 0; i < 2; i++)
	{
		/* nobody is asked now */
		if (name->family[i].again_us >= 0)
			name->family[i].asked = name->family[i].lookups + name->family[i].patient > 0;
		name->family[i].again_us = -1;
	}
	for (Name **link = &asked; *link != NULL; link = &(*link)->next_asked)
	{
		if (*link == name)
		{
			*link = name->next_asked;
			break;
		}
	}
}

static bool
is_over(const Name *name, int64_t now_us)
{
	return now_us >= name->give_up_us || (!name->family[0].asked && !name->family[1].asked);
}

/*
 * Those that were found first are no better for the others that come, but whoever
 * has waited for these must find all.
 */
static int64_t
good_until(const Name *name, int64_t now_us)
{
	int64_t		until_us = now_us + (int64_t) name->ttl_s * 1000000;
	int64_t		least_us = now_us + (int64_t) MIN_TTL_S * 1000000;

	if (name->good_until_us > 0 && name->good_until_us < until_us)
		until_us = name->good_until_us;
	return until_us > least_us ? until_us : least_us;
}

/* A family that is missing for a lack of ours may be the one to which there is a way. */
void
http_lookup_settle(Name *name, int64_t now_us)
{
	int			status = name->family[1].status;
	const char *lack = http_dns_lack_since(name->asked_us);
	bool		usable = http_book_has_addresses(name);

	if (!name->asking)
		return;
	name->settle_us = -1;
	if (lack != NULL)
	{
		http_book_keep_ttl(name, MIN_TTL_S);
		usable = name->family[1].naddresses > 0 || (usable && !name->v4_first);
	}
	if (!usable || is_over(name, now_us))
		end(name);
	if (usable)
		name->good_until_us = good_until(name, now_us);
	else
	{
		name->good_until_us = 0;
		if (status == ARES_SUCCESS || status == ARES_ENODATA)
			status = name->family[0].status;
		if (status == ARES_SUCCESS || (status == ARES_ENOTFOUND && name->exists))
			status = ARES_ENODATA;
		if (lack == NULL && status == ARES_ENOMEM)
			lack = http_no_memory;
		name->lacking = lack != NULL;
		if (lack != NULL)
			snprintf(name->error, sizeof(name->error), "%s", lack);
		else if (now_us >= name->give_up_us || status == ARES_ETIMEOUT)
			snprintf(name->error, sizeof(name->error), LATE, name->host);
		else
			snprintf(name->error, sizeof(name->error),
					 "Could not resolve host: %.200s (%s)", name->host, ares_strerror(status));
	}
	http_upwards.name_settled(name, usable ? NULL : name->error, name->lacking);
}

/*
 * Is a look-up that failed to be made again?  There are other name servers now; or
 * it began long before anybody waited who does now, and says nothing of that time.
 */
static bool
wants_repeat(const Name *name, Family *family, int64_t began_us, int status)
{
	int64_t		now_us = poller_clock();
	bool		useless = http_dns_is_useless(status);

	if (!name->asking || http_dns_is_answer(status) || family->lookups > 0)
		return false;
	if ((useless || status == ARES_EBADRESP) && family->repeats++ < MAX_REPEATS)
	{
		family->again_us = now_us + REPEAT_US;
		if (useless)
			family->patient_us = now_us;
	}
	else if (status == ARES_EDESTRUCTION || began_us < name->asked_us)
		family->again_us = now_us;
	return family->again_us >= 0;
}

static bool
is_absent(int status)
{
	return status == ARES_ENODATA || status == ARES_ENOTFOUND;
}

/*
 * Is the host to be looked for further on in the search?  Not if one family has
 * addresses or may have some, since what the next name has is not this one's.
 */
static bool
goes_on(const Name *name)
{
	const Family *v6 = &name->family[0];
	const Family *v4 = &name->family[1];
	char		whole[SEARCH_NAME_SIZE];

	if (!name->asking || v4->asked || !is_absent(v4->status) || v6->naddresses > 0)
		return false;
	return (v4->status == ARES_ENOTFOUND || (!v6->asked && is_absent(v6->status))) &&
		http_search_name(name->host, name->place + 1, whole);
}

static void
on_found(void *arg, const HttpDnsAnswer *answer)
{
	Family	   *family = arg;
	Name	   *name = family->name;
	int			status = answer->status;

	if (answer->round != name->round)
	{
		family->stale--;
		return;
	}
	if (answer->patiently)
		family->patient--;
	else
		family->lookups--;

	/* another look-up, or the hosts file, has answered; or may yet do so */
	if (!family->asked || wants_repeat(name, family, answer->asked_us, status) ||
		(!http_dns_is_answer(status) && family->lookups + family->patient > 0))
		return;
	family->asked = false;
	family->again_us = -1;
	family->status = status;
	http_book_forget_addresses(family);
	if (status == ARES_SUCCESS)
		http_book_keep_answer(name, answer->found);

	/* it may come when nobody waits any longer, and be good for less long */
	if (!name->asking && name->good_until_us > 0)
	{
		int64_t		until_us = poller_clock() + (int64_t) name->ttl_s * 1000000;

		if (until_us < name->good_until_us)
			name->good_until_us = until_us;
	}
	name->move_us = -1;
	if (goes_on(name))
		name->move_us = name->family[0].asked ? poller_clock() + MOVE_US : 0;
	else if (!name->family[0].asked && !name->family[1].asked)
		http_lookup_settle(name, poller_clock());
	else if (family->naddresses > 0 && name->good_until_us == 0)
		name->settle_us = poller_clock() + OTHER_FAMILY_US;
}

/* ---------------------------------------------------------------------
 * Look-ups begin, go on, and begin anew
 * ---------------------------------------------------------------------
 */

/* What is still to come of another name is none of this one's. */
static void
begin_round(Name *name, int place, const char *whole)
{
	name->place = place;
	name->move_us = -1;
	if (strcmp(name->whole, whole) == 0)
		return;
	snprintf(name->whole, sizeof(name->whole), "%s", whole);
	name->round++;
	for (int i = 0; i < 2; i++)
	{
		Family	   *family = &name->family[i];

		family->stale += family->lookups + family->patient;
		family->lookups = family->patient = 0;
	}
}

static void
ask_soon(Family *family, int64_t now_us)
{
	family->asked = true;
	family->again_us = now_us;
	family->patient_us = -1;
	family->repeats = 0;
}

/* To the next name of the search, of which both families are asked for. */
static void
move(Name *name, int64_t now_us)
{
	char		whole[SEARCH_NAME_SIZE];

	name->move_us = -1;
	if (!goes_on(name) || !http_search_name(name->host, name->place + 1, whole))
		return;
	begin_round(name, name->place + 1, whole);
	for (int i = 0; i < 2; i++)
	{
		Family	   *family = &name->family[i];

		name->exists = name->exists || family->status == ARES_ENODATA;
		family->status = ARES_ETIMEOUT;
		ask_soon(family, now_us);
	}
}

static HttpDnsWanted
wanted(const Name *name, int which)
{
	return (HttpDnsWanted) {
		.name = name->whole, .family = which == 0 ? AF_INET6 : AF_INET, .round = name->round
	};
}

static void
ask(Name *name, int which)
{
	Family	   *family = &name->family[which];
	HttpDnsWanted what = wanted(name, which);

	family->again_us = -1;
	family->began_us = poller_clock();
	if (family->patient_us < 0)
		family->patient_us = family->began_us + PATIENT_AFTER_US;
	if (family->stale >= MAX_STALE)
	{
		family->again_us = family->began_us + REPEAT_US;
		return;
	}
	if (!http_dns_ask(&what, &family->lookups, on_found, family))
	{
		family->status = ARES_ENOMEM;
		family->asked = family->lookups + family->patient > 0;
	}
}

/* What could not be asked so is, later. */
static void
ask_patiently(Name *name, int which, int64_t now_us)
{
	Family	   *family = &name->family[which];
	HttpDnsWanted what = wanted(name, which);

	family->patient_us = -1;
	if (family->stale < MAX_STALE)
		http_dns_ask_patiently(&what, &family->patient, on_found, family);
	if (family->patient == 0)
		family->patient_us = now_us + PATIENT_AFTER_US;
}

/* Those that were asked so have a long time. */
static int64_t
patient_at(const Family *family)
{
	return family->asked && family->patient == 0 ? family->patient_us : -1;
}

void
http_lookup_begin(Name *name, int64_t now_us)
{
	char		whole[SEARCH_NAME_SIZE];

	if (!name->asking)
	{
		name->asking = true;
		name->next_asked = asked;
		asked = name;
	}
	name->asked_us = now_us;
	name->good_until_us = 0;
	name->give_up_us = now_us + LOOK_UP_US;
	name->settle_us = -1;
	name->ttl_s = MAX_TTL_S;
	name->v4_first = false;
	name->exists = false;
	name->in_hosts = false;
	(void) http_search_name(name->host, 0, whole);
	begin_round(name, 0, whole);
	for (int i = 0; i < 2; i++)
	{
		Family	   *family = &name->family[i];
		bool		joins = family->lookups == MAX_LOOKUPS ||
			(family->asked && family->lookups > 0 && now_us - family->began_us < LOOK_UP_US);

		family->asked = true;
		family->again_us = joins ? -1 : now_us;
		if (!joins)
			family->patient_us = -1;
		else if (family->patient_us < 0)
			family->patient_us = now_us + PATIENT_AFTER_US;
		family->repeats = 0;
		family->status = ARES_ETIMEOUT;
		http_book_forget_addresses(family);
	}
}

void
http_lookup_anew(Name *name, int64_t now_us)
{
	char		whole[SEARCH_NAME_SIZE];

	if (!http_book_has_addresses(name) && http_search_name(name->host, 0, whole))
		begin_round(name, 0, whole);
	for (int i = 0; i < 2; i++)
	{
		if (name->family[i].naddresses == 0)
			ask_soon(&name->family[i], now_us);
	}
}

/* ---------------------------------------------------------------------
 * Its times
 * ---------------------------------------------------------------------
 */

static bool
is_due(int64_t when_us, int64_t now_us)
{
	return when_us >= 0 && now_us >= when_us;
}

void
http_lookup_put_off(Name *name, int64_t by_us)
{
	name->give_up_us += by_us;
	for (int i = 0; i < 2; i++)
	{
		if (name->family[i].patient_us >= 0)
			name->family[i].patient_us += by_us;
	}
	if (name->settle_us >= 0)
		name->settle_us += by_us;
	if (name->move_us > 0)
		name->move_us += by_us;
}

bool
http_lookup_search_on(Name *name, int64_t now_us)
{
	if (is_due(name->move_us, now_us))
		move(name, now_us);
	return is_due(name->family[0].again_us, now_us) || is_due(name->family[1].again_us, now_us);
}

void
http_lookup_run(Name *name, int64_t now_us, int64_t not_before_us)
{
	for (int i = 0; i < 2; i++)
	{
		if (is_due(patient_at(&name->family[i]), now_us))
			ask_patiently(name, i, now_us);
		if (!is_due(name->family[i].again_us, now_us))
			continue;
		if (not_before_us > now_us)
			name->family[i].again_us = not_before_us;
		else
			ask(name, i);
	}
	if (is_over(name, now_us) || is_due(name->settle_us, now_us))
		http_lookup_settle(name, now_us);
}

int64_t
http_lookup_next(const Name *name)
{
	int64_t		when = sooner(name->give_up_us, name->settle_us);

	when = sooner(when, name->move_us);
	for (int i = 0; i < 2; i++)
		when = sooner(when, sooner(name->family[i].again_us, patient_at(&name->family[i])));
	return when;
}
