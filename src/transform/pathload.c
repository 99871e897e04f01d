/*-------------------------------------------------------------------------
 *
 * pathload.c
 *		How much an operand of a jsonpath may find in a value.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"

#include "transform/pathload.h"

/* Numbers may be a hundred thousand digits long, of a few bytes. */
static double
text_bytes(Numeric number)
{
	char	   *text = DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(number)));
	double		length = strlen(text);

	pfree(text);
	return length;
}

static void
add_value(Load *load, const JsonbValue *value, bool texts)
{
	load->values++;
	if (value->type == jbvString)
	{
		load->strings++;
		load->string_bytes += value->val.string.len;
	}
	else if (value->type == jbvNumeric)
	{
		load->numbers++;
		load->number_bytes += VARSIZE_ANY(value->val.numeric);
		if (texts)
			load->text_bytes += text_bytes(value->val.numeric);
	}
}

Load
pathload_of(JsonbContainer *container, bool texts)
{
	Load		load = {0};
	int			depth = 0;
	JsonbIterator *it = JsonbIteratorInit(container);
	JsonbIteratorToken token;
	JsonbValue	value;

	while ((token = JsonbIteratorNext(&it, &value, false)) != WJB_DONE)
	{
		CHECK_FOR_INTERRUPTS();
		switch (token)
		{
			case WJB_BEGIN_ARRAY:
			case WJB_BEGIN_OBJECT:
				load.values++;
				depth++;
				load.depth = Max(load.depth, depth);
				break;
			case WJB_END_ARRAY:
			case WJB_END_OBJECT:
				depth--;
				break;
			case WJB_KEY:
				load.keys++;
				load.key_bytes += value.val.string.len;
				break;
			default:
				add_value(&load, &value, texts);
				break;
		}
	}
	return load;
}

/* Names of types, and texts of what is no number, have no more bytes. */
#define SHORT_TEXT		64

/* Methods whose numbers come of something else than numbers have no more. */
#define SHORT_NUMBER	32

/* The results of products and such, which are numbers (PATHQUERY_MAX_PRODUCTS). */
#define MAX_RESULT		(32 * 1024)

Load
pathload_of_longest(JsonbContainer *container, bool texts)
{
	Load		longest = {.values = 1, .strings = 1, .string_bytes = SHORT_TEXT, .numbers = 1, .number_bytes = MAX_RESULT, .depth = 1};
	JsonbIterator *it = JsonbIteratorInit(container);
	JsonbIteratorToken token;
	JsonbValue	value;

	while ((token = JsonbIteratorNext(&it, &value, false)) != WJB_DONE)
	{
		Load		load = {0};

		CHECK_FOR_INTERRUPTS();
		if (token != WJB_KEY && token != WJB_VALUE && token != WJB_ELEM)
			continue;
		add_value(&load, &value, texts);	/* keyvalue() makes one of a key */
		longest.string_bytes = Max(longest.string_bytes, load.string_bytes);
		longest.string_bytes = Max(longest.string_bytes, load.text_bytes);
		longest.number_bytes = Max(longest.number_bytes, load.number_bytes);
	}
	return longest;
}

/* No part of a value is smaller than its JEntry. */
Load
pathload_by_size(const Jsonb *value)
{
	double		bytes = VARSIZE(value);
	double		count = bytes / sizeof(JEntry) + 1;

	return (Load) {count, count, bytes, count, bytes, count, bytes, 0, (int) count};
}

void
pathload_multiply(Load *load, double factor)
{
	load->values *= factor;
	load->strings *= factor;
	load->string_bytes *= factor;
	load->numbers *= factor;
	load->number_bytes *= factor;
	load->keys *= factor;
	load->key_bytes *= factor;
	load->text_bytes *= factor;
}

void
pathload_take_step(Load *load, const JsonPathItem *step)
{
	switch (step->type)
	{
		case jpiIndexArray:
			pathload_multiply(load, step->content.array.nelems);
			break;
		case jpiAny:			/* each again below each, and what unwraps arrays finds it twice */
			pathload_multiply(load, 2 * load->depth);
			break;
		case jpiKeyValue:		/* objects of three, of which each has three again */
			load->values += 3 * load->keys;
			load->strings += load->keys;
			load->string_bytes += load->key_bytes;
			load->numbers += load->keys;
			load->number_bytes += SHORT_NUMBER * load->keys;
			load->key_bytes += SHORT_TEXT * load->keys;
			load->keys *= 4;
			break;
		case jpiType:
			load->strings = load->values;
			load->string_bytes = SHORT_TEXT * load->values;
			break;
		case jpiSize:
		case jpiDouble:
			load->numbers = load->values;
			load->number_bytes += SHORT_NUMBER * load->values;
			break;
		case jpiAnyArray:
		case jpiAnyKey:
		case jpiKey:
		case jpiFilter:
		case jpiAbs:
		case jpiFloor:
		case jpiCeiling:
		case jpiDatetime:
		case jpiPlus:
		case jpiMinus:
			break;
		default:				/* later versions' methods, of texts and numbers */
			load->strings = load->numbers = load->values;
			load->string_bytes += load->text_bytes + SHORT_TEXT * load->values;
			load->number_bytes += load->string_bytes;
			break;
	}
}

Load
pathload_of_one(const JsonPathItem *item)
{
	Load		load = {.values = 1, .depth = 1};
	int32		length;

	switch (item->type)
	{
		case jpiString:
			(void) jspGetString(unconstify(JsonPathItem *, item), &length);
			load.strings = 1;
			load.string_bytes = length;
			break;
		case jpiNumeric:
			load.numbers = 1;
			load.number_bytes = VARSIZE_ANY(jspGetNumeric(unconstify(JsonPathItem *, item)));
			break;
		default:
			load.numbers = 1;
			load.number_bytes = MAX_RESULT;
			break;
	}
	return load;
}

/* Is it one element, by its number? */
static bool
is_element(JsonPathItem *step, double *number)
{
	JsonPathItem from;
	JsonPathItem to;

	if (step->type != jpiIndexArray || step->content.array.nelems != 1 ||
		jspGetArraySubscript(step, &from, &to, 0) || from.type != jpiNumeric || jspHasNext(&from))
		return false;
	*number = trunc(DatumGetFloat8(DirectFunctionCall1(numeric_float8_no_overflow,
													   NumericGetDatum(jspGetNumeric(&from)))));
	return true;
}

/*
 * Is the step to one value of the container at the most?  NULL: there is none.  Of an array,
 * a name takes what its elements have by it, in lax mode.
 */
static bool
takes_one(JsonbContainer *container, JsonPathItem *step, bool lax, JsonbValue **found)
{
	double		number;
	int			length;
	const char *key;

	if (step->type == jpiKey && (JsonContainerIsObject(container) || !lax))
	{
		key = jspGetString(step, &length);
		*found = JsonContainerIsObject(container) ?
			getKeyJsonValueFromContainer(container, key, length, NULL) : NULL;
		return true;
	}
	if (!JsonContainerIsArray(container) || JsonContainerIsScalar(container) || !is_element(step, &number))
		return false;
	*found = number >= 0 && number < JsonContainerSize(container) ?
		getIthJsonbValueFromContainer(container, (uint32) number) : NULL;
	return true;
}

/* What a comparison takes of it: it unwraps an array, and looks into nothing. */
static Load
load_as_compared(JsonbContainer *container, bool texts)
{
	Load		load = {.depth = 1};
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue	value;

	if (JsonContainerIsObject(container))
	{
		load.values = 1;
		return load;
	}
	it = JsonbIteratorInit(container);
	while ((token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
	{
		CHECK_FOR_INTERRUPTS();
		if (token == WJB_ELEM)
			add_value(&load, &value, texts);
	}
	load.values++;				/* itself, if it is not unwrapped */
	return load;
}

Load
pathload_below(JsonbContainer *container, JsonPathItem *item, bool lax, bool texts)
{
	JsonPathItem next;
	JsonbValue *found;
	Load		load = {.depth = 1};

	while (jspGetNext(item, &next) && takes_one(container, &next, lax, &found))
	{
		*item = next;
		if (found != NULL && found->type == jbvBinary)
		{
			container = found->val.binary.data;
			continue;
		}
		if (found != NULL)
			add_value(&load, found, texts);
		return load;
	}
	return jspHasNext(item) ? pathload_of(container, texts) : load_as_compared(container, texts);
}
