/*-------------------------------------------------------------------------
 *
 * http_message.c
 *		The HTTP room, what is sent: a request's lines and its body, as copies of
 *		our own, since they outlive http_start().
 *
 * See transfer.h for the rules of the room.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "http/ascii.h"
#include "http/http_message.h"
#include "http/transfer.h"

#define ACCEPT_ENCODING		"Accept-Encoding: "

/*
 * The lines that we send unless we were told to send such a header.  Most keep
 * libcurl from sending one of its own, since we send what we were told to and
 * nothing else; waiting for "100 Continue" would cost a round trip or, with
 * most receivers, a second.  The last one asks for what is unpacked (http_coding.c),
 * whatever else libcurl could.
 */
static struct
{
	const char *name;
	char		line[64];
}			own_lines[HTTP_OWN_LINES] = {
	{"Accept", "Accept:"},
	{"Content-Type", "Content-Type:"},
	{"Expect", "Expect:"},
	{"Accept-Encoding", ACCEPT_ENCODING}
};

void
http_message_init(const curl_version_info_data *libcurl)
{
	snprintf(own_lines[HTTP_OWN_LINES - 1].line, sizeof(own_lines[0].line),
			 ACCEPT_ENCODING "%s",
			 (libcurl->features & CURL_VERSION_LIBZ) ? "deflate, gzip" : "identity");
}

const char *
http_message_encodings(void)
{
	return own_lines[HTTP_OWN_LINES - 1].line + strlen(ACCEPT_ENCODING);
}

/* Is this the line of the header called name?  "Name: v", "Name:" or "Name;". */
static bool
is_header(const char *line, const char *name)
{
	size_t		len;

	if (ascii_lower(line[0]) != ascii_lower(name[0]))
		return false;
	len = strlen(name);
	return ascii_begin_same(line, name, len) && (line[len] == ':' || line[len] == ';');
}

static bool
has_header(const struct curl_slist *lines, const char *name)
{
	for (; lines != NULL; lines = lines->next)
	{
		if (is_header(lines->data, name))
			return true;
	}
	return false;
}

static void
add_own_lines(Transfer *t)
{
	for (int i = 0; i < HTTP_OWN_LINES; i++)
	{
		if (has_header(t->headers, own_lines[i].name))
			continue;
		t->own_lines[i].node.data = own_lines[i].line;
		t->own_lines[i].node.next = t->headers;
		t->headers = &t->own_lines[i].node;
	}
}

/* A block of that size at least, whose content is void; false: no memory. */
static bool
make_room(Transfer *t, size_t size)
{
	if (size <= t->block_size)
		return true;
	free(t->block);
	t->block_size = 0;
	size = (size | 1023) + 1;	/* the next one may be a little longer */
	t->block = malloc(size);
	if (t->block == NULL)
		return false;
	t->block_size = size;
	return true;
}

/* Put len bytes and a NUL at *place, which moves on; what was put. */
static char *
put(char **place, const char *data, size_t len)
{
	char	   *start = *place;

	if (len > 0)
		memcpy(start, data, len);
	start[len] = '\0';
	*place = start + len + 1;
	return start;
}

/* The same with a header's line, for which its size and two bytes are enough. */
static char *
put_header(char **place, const HttpHeader *header)
{
	char	   *line = put(place, header->name, strlen(header->name));
	const char *value = header->value;

	/* libcurl takes "Name:" as the wish to send no such header at all. */
	if (value[strspn(value, " \t")] == '\0')
	{
		(*place)[-1] = ';';
		(void) put(place, "", 0);
	}
	else
	{
		(*place)[-1] = ':';
		*(*place)++ = ' ';
		(void) put(place, value, strlen(value));
	}
	return line;
}

bool
http_message_copy(Transfer *t, const HttpRequest *request)
{
	bool		wants_body = request->body != NULL ||
		strcmp(request->method, "POST") == 0 ||
		strcmp(request->method, "PUT") == 0 ||
		strcmp(request->method, "PATCH") == 0;
	size_t		body_len = request->body ? request->body_len : 0;
	size_t		method_len = strlen(request->method);
	size_t		url_len = strlen(request->url);
	size_t		size = method_len + url_len + body_len + 3;
	HeaderLine *lines;
	char	   *place;

	for (int i = 0; i < request->nheaders; i++)
		size += sizeof(HeaderLine) + strlen(request->headers[i].name) +
			strlen(request->headers[i].value) + 3;
	if (!make_room(t, size))
		return false;
	lines = (void *) t->block;
	place = t->block + request->nheaders * sizeof(HeaderLine);

	for (int i = request->nheaders - 1; i >= 0; i--)
	{
		lines[i].node.data = put_header(&place, &request->headers[i]);
		lines[i].node.next = t->headers;
		lines[i].stays = request->headers[i].stays;
		t->headers = &lines[i].node;
	}
	add_own_lines(t);

	t->method = put(&place, request->method, method_len);
	t->url = put(&place, request->url, url_len);

	/* An empty body is one, too: it is sent as Content-Length: 0. */
	if (wants_body)
	{
		t->body = put(&place, request->body, body_len);
		t->body_len = body_len;
		t->event_in_query = request->event_in_query;
	}
	return true;
}

/*
 * Any header may be a credential, whatever its name, so only those that describe
 * the message go to another origin, unless they were said to stay.
 */
static bool
goes_elsewhere(const HeaderLine *header)
{
	const char *line = header->node.data;

	return !header->stays &&
		(is_header(line, "Content-Type") || is_header(line, "User-Agent") ||
		 is_header(line, "Accept") || is_header(line, "webhook-id"));
}

void
http_message_filter(Transfer *t, bool same_origin)
{
	struct curl_slist **link = &t->headers;

	while (*link != NULL)
	{
		if (!same_origin && !goes_elsewhere((const HeaderLine *) *link))
			*link = (*link)->next;
		else
			link = &(*link)->next;
	}
	add_own_lines(t);
}
