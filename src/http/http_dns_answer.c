/*-------------------------------------------------------------------------
 *
 * http_dns_answer.c
 *		The HTTP room, the name servers: answers that are of no use.
 *
 * c-ares asks the next name server at once if one says that it fails, is not able
 * to, or refuses.  It takes much else for the word that there is no such address,
 * and does not hear a failure that does not repeat the question.  So all that is
 * neither an answer nor such a failure becomes one before c-ares sees it.
 *
 * Whether that is an answer to what was asked, by its number, its question and its
 * sender, is still for c-ares to say; only the question that was not repeated counts
 * as the one that was asked.
 *
 * See transfer.h for the rules of the room.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include <ares.h>
#include <arpa/nameser.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "http/ascii.h"
#include "http/http_dns_answer.h"

/* In the third byte of a header, and in the fourth. */
#define IS_ANSWER			0x80
#define OPCODE				0x78
#define TRUNCATED			0x02
#define RCODE				0x0f
#define AUTHORITATIVE		0x04
#define RECURSES			0x80

/* The number of questions, and of records of an answer. */
#define QDCOUNT				4
#define ANCOUNT				6
#define NSCOUNT				8
#define ARCOUNT				10

/* Of BADCOOKIE, the rest of which is in an additional record: c-ares knows that. */
#define RCODE_OF_BADCOOKIE	7

/*
 * What was asked last, by the lower bits of the number that c-ares has chosen at
 * random.  Where a later question is in the place of one, a failure that does not
 * repeat it is not heard.
 */
#define PLACES				1024

typedef struct Asked
{
	int			fd;
	uint16_t	id;
	uint16_t	len;			/* 0: nothing */
	unsigned char question[NS_MAXCDNAME + NS_QFIXEDSZ];
} Asked;

static Asked asked[PLACES];

static unsigned
number(const unsigned char *bytes)
{
	return (unsigned) bytes[0] << 8 | bytes[1];
}

/* ---------------------------------------------------------------------
 * Questions
 * ---------------------------------------------------------------------
 */

/* How long the question of a message is, which is not compressed; 0: it has none. */
static size_t
question_length(const unsigned char *message, size_t len)
{
	size_t		at = NS_HFIXEDSZ;

	if (number(message + QDCOUNT) != 1)
		return 0;
	while (at < len && message[at] != 0)
	{
		if (message[at] > NS_MAXLABEL)
			return 0;
		at += 1 + (size_t) message[at];
	}
	at += 1 + NS_QFIXEDSZ;
	return at <= len && at - NS_HFIXEDSZ <= sizeof(asked[0].question) ? at - NS_HFIXEDSZ : 0;
}

void
http_dns_answer_asked(int fd, const unsigned char *message, size_t len)
{
	size_t		question_len = len < NS_HFIXEDSZ ? 0 : question_length(message, len);
	Asked	   *place;

	if (question_len == 0)
		return;
	place = &asked[number(message) % PLACES];
	place->fd = fd;
	place->id = (uint16_t) number(message);
	place->len = (uint16_t) question_len;
	memcpy(place->question, message + NS_HFIXEDSZ, question_len);
}

/* Puts the question into an answer that has none. */
static size_t
repeat_question(int fd, unsigned char *message, size_t len, size_t room)
{
	const Asked *place = &asked[number(message) % PLACES];

	if (place->len == 0 || place->fd != fd || place->id != number(message) ||
		len + place->len > room)
		return len;
	memmove(message + NS_HFIXEDSZ + place->len, message + NS_HFIXEDSZ, len - NS_HFIXEDSZ);
	memcpy(message + NS_HFIXEDSZ, place->question, place->len);
	message[QDCOUNT + 1] = 1;
	return len + place->len;
}

/* ---------------------------------------------------------------------
 * Answers
 * ---------------------------------------------------------------------
 */

/* An address that was asked for, or another name in its place? */
static bool
is_wanted(const unsigned char *record, unsigned wanted)
{
	unsigned	type = number(record);
	unsigned	len = number(record + NS_RRFIXEDSZ - NS_INT16SZ);

	if (number(record + NS_INT16SZ) != ns_c_in)
		return false;
	return type == ns_t_cname ||
		(type == wanted && len == (type == ns_t_a ? NS_INADDRSZ : NS_IN6ADDRSZ));
}

/* Moves on behind a name; false: it cannot be read. */
static bool
skip_name(const unsigned char **at, const unsigned char *end)
{
	while (*at < end && **at != 0 && (**at & NS_CMPRSFLGS) == 0)
		*at += 1 + **at;
	if (*at >= end)
		return false;
	*at += **at == 0 ? 1 : 2;
	return *at <= end;
}

/*
 * Is an answer without records the word that there are none?  Who neither has them
 * nor looks for them elsewhere says where else to ask, unless the SOA is there
 * (RFC 2308, 2.2).
 */
static bool
says_nothing_is_there(const unsigned char *message, size_t len, size_t question_len)
{
	const unsigned char *record = message + NS_HFIXEDSZ + question_len;
	const unsigned char *end = message + len;

	if ((message[2] & AUTHORITATIVE) != 0 || (message[3] & RECURSES) != 0)
		return true;
	for (unsigned left = number(message + NSCOUNT); left > 0; left--)
	{
		if (!skip_name(&record, end) || end - record < NS_RRFIXEDSZ)
			return false;
		if (number(record) == ns_t_soa)
			return true;
		record += NS_RRFIXEDSZ + number(record + NS_RRFIXEDSZ - NS_INT16SZ);
		if (record > end)
			return false;
	}
	return false;
}

/* Can its records be read, and is one of them what was asked for? */
static bool
says_something(const unsigned char *message, size_t len, size_t question_len)
{
	const unsigned char *record = message + NS_HFIXEDSZ + question_len;
	const unsigned char *end = message + len;
	unsigned	wanted = number(record - NS_QFIXEDSZ);
	char	   *host;
	char	   *name;
	long		name_len;
	bool		found = false;
	bool		readable = true;

	if (ares_expand_name(message + NS_HFIXEDSZ, message, (int) len, &host, &name_len) != ARES_SUCCESS)
		return true;			/* no memory: c-ares says so */
	for (unsigned left = number(message + ANCOUNT); left > 0 && readable; left--)
	{
		int			status = ares_expand_name(record, message, (int) len, &name, &name_len);

		readable = status == ARES_SUCCESS && end - record >= name_len + NS_RRFIXEDSZ;
		if (readable)
		{
			record += name_len;
			found = found || (is_wanted(record, wanted) && ascii_same(name, host));
			record += NS_RRFIXEDSZ + number(record + NS_RRFIXEDSZ - NS_INT16SZ);
			readable = record <= end;
		}
		if (status == ARES_SUCCESS)
			ares_free_string(name);
		else if (status == ARES_ENOMEM)
		{
			found = readable = true;
			break;
		}
	}
	ares_free_string(host);
	return readable && found;
}

static bool
is_useful(const unsigned char *message, size_t len, size_t question_len)
{
	if ((message[2] & (IS_ANSWER | OPCODE)) != IS_ANSWER)
		return false;
	switch (message[3] & RCODE)
	{
		case ns_r_noerror:
			if ((message[2] & TRUNCATED) != 0)
				return true;
			return number(message + ANCOUNT) == 0 ?
				says_nothing_is_there(message, len, question_len) :
				says_something(message, len, question_len);
		case ns_r_nxdomain:
		case ns_r_formerr:		/* c-ares may ask otherwise then */
		case ns_r_servfail:
		case ns_r_notimpl:
		case ns_r_refused:
			return true;
		case RCODE_OF_BADCOOKIE:
			return number(message + ARCOUNT) > 0;
		default:
			return false;
	}
}

size_t
http_dns_answer_came(int fd, unsigned char *message, size_t len, size_t room)
{
	size_t		question_len;
	bool		useful = true;

	if (len < NS_INT16SZ || room < NS_HFIXEDSZ)
		return len;
	if (len < NS_HFIXEDSZ || number(message + QDCOUNT) > 1)
	{
		/* to what was asked by that number, if anything */
		memset(message + NS_INT16SZ, 0, NS_HFIXEDSZ - NS_INT16SZ);
		message[2] = IS_ANSWER;
		message[3] = ns_r_servfail;
		len = NS_HFIXEDSZ;
	}
	if (number(message + QDCOUNT) == 0)
	{
		unsigned	rcode = message[3] & RCODE;

		/* there is no saying what there is not */
		useful = rcode != ns_r_noerror && rcode != ns_r_nxdomain;
		len = repeat_question(fd, message, len, room);
	}
	question_len = question_length(message, len);
	if (question_len == 0 || (useful && is_useful(message, len, question_len)))
		return len;
	message[2] = IS_ANSWER;
	message[3] = ns_r_servfail;
	memset(message + ANCOUNT, 0, NS_HFIXEDSZ - ANCOUNT);
	return NS_HFIXEDSZ + question_len;
}
