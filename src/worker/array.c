/*-------------------------------------------------------------------------
 *
 * array.c
 *		Requests of several events: an array of what each would have as its body.
 *
 * A batch has an id of its own, from those of its events, so that the same events have the
 * same id each time, and others another one.  Of a single event it is that event's.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "utils/memutils.h"

#include "destination/sign.h"
#include "destination/values.h"
#include "transform/request.h"
#include "worker/array.h"

/* What render_finish() adds. */
#define OWN_HEADERS		4

typedef struct Array
{
	Rendered	request;		/* of the first one, and none of its body */
	int			count;
	bool		has_body;		/* else it takes no other */
	StringInfoData body;
	StringInfoData ids;			/* one a line */
	const char *id;				/* of the first one */
	char	   *trace;			/* of the first one that has any; NULL: none */
} Array;

static Array arrays[MOST_ARRAYS];
static int	narrays = 0;

void
array_begin(void)
{
	narrays = 0;
}

int
array_count(void)
{
	return narrays;
}

static bool
is_alike(const WireRequest *wire, const WireRequest *other)
{
	if (strcmp(wire->url, other->url) != 0 || strcmp(wire->method, other->method) != 0 ||
		wire->nheaders != other->nheaders)
		return false;
	for (int i = 0; i < wire->nheaders; i++)
	{
		if (strcmp(wire->headers[i].name, other->headers[i].name) != 0 ||
			strcmp(wire->headers[i].value, other->headers[i].value) != 0 ||
			wire->headers[i].stays != other->headers[i].stays)
			return false;
	}
	return true;
}

/* What an event takes of it. */
static size_t
part_len(const WireRequest *wire)
{
	return 1 + Max(wire->body_len, strlen(NO_BODY));
}

/* The first one is taken however large it is. */
static bool
takes(const Array *array, const WireRequest *wire, const Destination *destination)
{
	size_t		most = Min(destination->batch_bytes, rswebhook_max_request_size);

	return array->has_body && wire->body != NULL &&
		(size_t) array->body.len + part_len(wire) + 1 <= most &&
		is_alike(wire, &array->request.wire);
}

int
array_find(const Rendered *rendered, const Destination *destination, int most)
{
	for (int i = 0; i < narrays; i++)
	{
		if (takes(&arrays[i], &rendered->wire, destination))
			return i;
	}
	return narrays < Min(most, MOST_ARRAYS) ? narrays : -1;
}

/* A copy of the first one, to which headers can be added. */
static void
open_array(Array *array, const Rendered *rendered, const RenderedPart *part)
{
	WireRequest *wire = &array->request.wire;
	HttpHeader *headers;

	memset(array, 0, sizeof(*array));
	array->request = *rendered;
	array->has_body = wire->body != NULL;
	wire->body = NULL;
	wire->body_len = 0;
	render_copy(&array->request);
	headers = palloc((wire->nheaders + OWN_HEADERS) * sizeof(HttpHeader));
	memcpy(headers, wire->headers, wire->nheaders * sizeof(HttpHeader));
	wire->headers = headers;
	initStringInfo(&array->body);
	initStringInfo(&array->ids);
	array->id = pstrdup(part->id);
}

void
array_add(int i, const Rendered *rendered, const RenderedPart *part, MemoryContext context)
{
	Array	   *array = &arrays[i];
	const WireRequest *wire = &rendered->wire;
	MemoryContext old = MemoryContextSwitchTo(context);

	if (i == narrays)
		open_array(array, rendered, part);
	enlargeStringInfo(&array->body, part_len(wire) + 1);
	enlargeStringInfo(&array->ids, strlen(part->id) + 1);
	if (array->trace == NULL && part->trace != NULL)
		array->trace = pnstrdup(part->trace, TRACEPARENT_SIZE - 1);
	MemoryContextSwitchTo(old);

	/* from here on there is room for all */
	if (i == narrays)
		narrays++;
	if (array->count++ > 0)
		appendStringInfoChar(&array->ids, '\n');
	appendStringInfoString(&array->ids, part->id);
	if (!array->has_body)
		return;					/* it goes by itself */
	appendStringInfoChar(&array->body, array->count == 1 ? '[' : ',');
	request_append_body(&array->body, wire);
}

bool
array_finish(int i, const Destination *destination, Rendered *rendered, char **why)
{
	Array	   *array = &arrays[i];
	Rendered   *request = &array->request;
	RenderedPart whole = {.id = array->id, .trace = array->trace};
	char		batch_id[BATCH_ID_SIZE];

	if (!sign_batch_id(array->ids.data, array->ids.len, batch_id, &request->batch))
	{
		*why = pstrdup("libcrypto cannot make the id of a batch");
		return false;
	}
	request->batch_id[0] = '\0';
	if (array->count > 1)
	{
		strlcpy(request->batch_id, batch_id, sizeof(request->batch_id));
		whole.id = pstrdup(batch_id);
	}
	if (array->has_body)
	{
		appendStringInfoChar(&array->body, ']');
		request->wire.body = array->body.data;
		request->wire.body_len = array->body.len;
	}
	if (!render_finish(request, &whole, destination, why))
		return false;
	*rendered = *request;
	return true;
}
