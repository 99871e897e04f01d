/*-------------------------------------------------------------------------
 *
 * traceparent.c
 *		A W3C traceparent (Trace Context, level 2, section 3.2).
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <inttypes.h>

#include "base/traceparent.h"

#define VERSION_AT	0
#define TRACE_AT	3
#define SPAN_AT		36
#define FLAGS_AT	53
#define LENGTH		55

/* Sampled, and random trace id; others must not be passed on. */
#define KNOWN_FLAGS	0x03

static bool
is_hex(const char *text, int len)
{
	for (int i = 0; i < len; i++)
	{
		if (!((text[i] >= '0' && text[i] <= '9') || (text[i] >= 'a' && text[i] <= 'f')))
			return false;
	}
	return true;
}

static bool
is_id(const char *text, int len)
{
	return is_hex(text, len) && (int) strspn(text, "0") < len;
}

bool
traceparent_is_valid(const char *text, int len)
{
	bool		later;

	if (len < LENGTH || !is_hex(text, 2) || memcmp(text, "ff", 2) == 0)
		return false;
	later = memcmp(text, "00", 2) != 0;
	return text[TRACE_AT - 1] == '-' && is_id(text + TRACE_AT, 32) &&
		text[SPAN_AT - 1] == '-' && is_id(text + SPAN_AT, 16) &&
		text[FLAGS_AT - 1] == '-' && is_hex(text + FLAGS_AT, 2) &&
		(len == LENGTH || (later && text[LENGTH] == '-'));
}

const char *
traceparent_of_event(Jsonb *event, bool *malformed)
{
	JsonbValue	context;
	JsonbValue	value;

	*malformed = false;
	if (!JB_ROOT_IS_OBJECT(event) ||
		getKeyJsonValueFromContainer(&event->root, "context", strlen("context"), &context) == NULL ||
		context.type != jbvBinary || !JsonContainerIsObject(context.val.binary.data) ||
		getKeyJsonValueFromContainer(context.val.binary.data, "traceparent", strlen("traceparent"), &value) == NULL ||
		value.type == jbvNull)
		return NULL;
	*malformed = value.type != jbvString ||
		!traceparent_is_valid(value.val.string.val, value.val.string.len);
	return *malformed ? NULL : value.val.string.val;
}

static int
hex_digit(char c)
{
	return c <= '9' ? c - '0' : c - 'a' + 10;
}

void
traceparent_child(const char *parent, uint64 span, char *child)
{
	int			flags = hex_digit(parent[FLAGS_AT]) * 16 + hex_digit(parent[FLAGS_AT + 1]);

	snprintf(child, TRACEPARENT_SIZE, "00-%.32s-%016" PRIx64 "-%02x", parent + TRACE_AT,
			 span != 0 ? span : 1, flags & KNOWN_FLAGS);
}
