/*-------------------------------------------------------------------------
 *
 * http_redirect.c
 *		The HTTP room, redirects: which are followed, where to, and what goes along.
 *
 * They are followed here and not by libcurl, because libcurl takes all headers
 * but Authorization and Cookie along to a foreign host.  See transfer.h for the
 * rules of the room.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include <stdlib.h>
#include <string.h>

#include "http/ascii.h"
#include "http/host.h"
#include "http/http_answer.h"
#include "http/http_curl.h"
#include "http/http_message.h"
#include "http/http_redirect.h"
#include "http/http_request.h"
#include "http/reserve.h"
#include "http/transfer.h"

#if LIBCURL_VERSION_NUM >= 0x074e00
static const unsigned url_flags = CURLU_URLENCODE | CURLU_ALLOW_SPACE;
#else
static const unsigned url_flags = CURLU_URLENCODE;
#endif

static bool
is_redirect(const Transfer *t)
{
	int			status = t->answer.status;

	return t->max_redirects > 0 &&
		((status >= 301 && status <= 303) || status == 307 || status == 308);
}

static bool
same_url_part(CURLU *a, CURLU *b, CURLUPart part)
{
	char	   *part_a = NULL;
	char	   *part_b = NULL;
	bool		same;

	same = curl_url_get(a, part, &part_a, CURLU_DEFAULT_PORT) == CURLUE_OK &&
		curl_url_get(b, part, &part_b, CURLU_DEFAULT_PORT) == CURLUE_OK &&
		ascii_same(part_a, part_b);
	curl_free(part_a);
	curl_free(part_b);
	return same;
}

/* What a form means by the next of its bytes, which are len. */
static int
decoded(const char **bytes, size_t *len)
{
	static const char digits[] = "0123456789abcdef";
	const char *at = *bytes;
	const char *high = *len >= 3 && at[0] == '%' && at[1] != '\0' ? strchr(digits, ascii_lower(at[1])) : NULL;
	const char *low = high != NULL && at[2] != '\0' ? strchr(digits, ascii_lower(at[2])) : NULL;
	size_t		used = low != NULL ? 3 : 1;

	*bytes += used;
	*len -= used;
	return low != NULL ? (int) ((high - digits) * 16 + (low - digits)) :
		at[0] == '+' ? ' ' : (unsigned char) at[0];
}

static bool
same_text(const char *a, size_t a_len, const char *b, size_t b_len)
{
	while (a_len > 0 && b_len > 0)
	{
		if (decoded(&a, &a_len) != decoded(&b, &b_len))
			return false;
	}
	return a_len == b_len;
}

/* Both end at a '&' or with the query. */
static bool
same_pair(const char *a, const char *b)
{
	size_t		a_key = strcspn(a, "=&");
	size_t		b_key = strcspn(b, "=&");
	const char *a_value = a + a_key + (a[a_key] == '=');
	const char *b_value = b + b_key + (b[b_key] == '=');

	return same_text(a, a_key, b, b_key) &&
		same_text(a_value, strcspn(a_value, "&"), b_value, strcspn(b_value, "&"));
}

static bool
has_pair(const char *query, const char *pair)
{
	for (;; query++)
	{
		if (same_pair(query, pair))
			return true;
		query += strcspn(query, "&");
		if (*query == '\0')
			return false;
	}
}

/*
 * Without a body, and beside one that mappings have made, the event is in the query, and
 * has to go along: all of its pairs, in whatever order and however they are encoded.
 */
static bool
keeps_query(CURLU *from, CURLU *to)
{
	char	   *wanted = NULL;
	char	   *got = NULL;
	bool		kept;

	if (curl_url_get(from, CURLUPART_QUERY, &wanted, 0) != CURLUE_OK)
		return true;
	kept = curl_url_get(to, CURLUPART_QUERY, &got, 0) == CURLUE_OK;
	for (const char *pair = wanted; kept && *pair != '\0'; pair += *pair == '&')
	{
		size_t		len = strcspn(pair, "&");

		kept = len == 0 || has_pair(got, pair);
		pair += len;
	}
	curl_free(wanted);
	curl_free(got);
	return kept;
}

static bool
has_scheme(CURLU *url, const char *scheme)
{
	char	   *own = NULL;
	bool		same;

	same = curl_url_get(url, CURLUPART_SCHEME, &own, 0) == CURLUE_OK &&
		ascii_same(own, scheme);
	curl_free(own);
	return same;
}

/*
 * A host that is a name, be it with codes for its bytes, becomes ASCII, as all that
 * we send to; false: it is none.
 */
static bool
settle_host(Transfer *t, CURLU *url)
{
	char		ascii[HOST_SIZE];
	char	   *host = NULL;
	const char *problem = NULL;

	if (curl_url_get(url, CURLUPART_HOST, &host, 0) != CURLUE_OK)
		return false;
	if (host[0] != '[')
	{
		problem = host_to_ascii(host, strlen(host), ascii);
		if (problem == host_no_memory ||
			(problem == NULL && curl_url_set(url, CURLUPART_HOST, ascii, 0) == CURLUE_OUT_OF_MEMORY))
			t->location_lost = true;
	}
	curl_free(host);
	return problem == NULL;
}

/*
 * Why the event is not taken there; NULL: it is.  It goes along with its method,
 * whatever browsers make of the older statuses: a success for a request without
 * it is none.  303 leads to something else, which can be had by GET.
 */
static const char *
why_not(Transfer *t, CURLU *from, CURLU *to)
{
	if (t->answer.status == 303 && strcmp(t->method, "GET") != 0)
		return "it leads to an answer and not to where the event is wanted";
	if (t->hops_left <= 0)
		return "there were as many before it as max_redirects allows";
	if (t->location == NULL)
		return "it does not say where it leads";
	if (curl_url_set(to, CURLUPART_URL, t->location, url_flags) != CURLUE_OK ||
		!(has_scheme(to, "http") || has_scheme(to, "https")))
		return "it leads to no URL of http or https";
	if (!settle_host(t, to))
		return "its host is none";
	if (has_scheme(from, "https") && !has_scheme(to, "https"))
		return "it leads from https to http";
	if ((t->body == NULL || t->event_in_query) && !keeps_query(from, to))
		return "it does not repeat the query, which the event is in";
	return NULL;
}

/*
 * Where the answer sends us, as an URL of curl_free()'s; NULL if that is not a
 * place to take the event to.
 */
static char *
redirect_target(Transfer *t, bool *same_origin)
{
	char	   *target = NULL;
	CURLU	   *from = curl_url();
	CURLU	   *to = curl_url();

	/* it may be relative to where we are */
	if (from != NULL && to != NULL &&
		curl_url_set(from, CURLUPART_URL, t->url, url_flags) == CURLUE_OK &&
		curl_url_set(to, CURLUPART_URL, t->url, url_flags) == CURLUE_OK &&
		(t->answer.unfollowed = why_not(t, from, to)) == NULL)
	{
		*same_origin = same_url_part(from, to, CURLUPART_SCHEME) &&
			same_url_part(from, to, CURLUPART_HOST) &&
			same_url_part(from, to, CURLUPART_PORT);
		if (!*same_origin)
		{
			curl_url_set(to, CURLUPART_USER, NULL, 0);
			curl_url_set(to, CURLUPART_PASSWORD, NULL, 0);
		}
		if (curl_url_get(to, CURLUPART_URL, &target, 0) != CURLUE_OK)
			target = NULL;
	}
	curl_url_cleanup(from);
	curl_url_cleanup(to);
	return target;
}

/* For want of memory it cannot be said where it leads, or go there: that is ours. */
static bool
ran_out(Transfer *t)
{
	http_answer_begin(t);
	t->setup = CURLE_OUT_OF_MEMORY;
	return true;
}

bool
http_redirect_follow(Transfer *t)
{
	bool		same_origin = false;
	char	   *target;

	if (!is_redirect(t))
		return false;
	target = redirect_target(t, &same_origin);
	if (t->location_lost || reserve_has_failed() || (target != NULL && !http_request_refresh(t)))
	{
		curl_free(target);
		return ran_out(t);
	}
	if (target == NULL)
		return false;
	http_message_filter(t, same_origin);
	curl_free(t->target);
	t->target = target;
	t->url = target;
	t->hops_left--;
	t->repeats = 0;
	t->not_before_us = 0;
	t->patient = false;
	http_answer_begin(t);
	http_request_hop(t, same_origin);
	return true;
}
