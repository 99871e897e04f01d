/*-------------------------------------------------------------------------
 *
 * pathwork.c
 *		What a jsonpath does, and how long its comparisons may take.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"

#include "transform/pathwork.h"

/* ---------------------------------------------------------------------
 * What it does
 * ---------------------------------------------------------------------
 */

/* What is found on the way: a comparison, or one operand after the other. */
typedef struct Look
{
	PathFindings findings;
	bool		has_keyvalue;
	void		(*compared) (JsonPathItem *comparison, void *arg);	/* NULL: nobody asks */
	void	   *arg;
} Look;

static void look_at_item(JsonPathItem *item, Look *look);

/* The signs before it are of no matter. */
static JsonPathItem
without_sign(const JsonPathItem *operand)
{
	JsonPathItem item = *operand;
	JsonPathItem argument;

	while (item.type == jpiPlus || item.type == jpiMinus)
	{
		jspGetArg(&item, &argument);
		item = argument;
	}
	return item;
}

/* Can an operand be several values? */
static bool
is_list(const JsonPathItem *operand)
{
	JsonPathItem first = without_sign(operand);

	return first.type == jpiRoot || first.type == jpiCurrent || jspHasNext(&first) || jspHasNext(operand);
}

static bool
is_deep(const JsonPathItem *operand)
{
	JsonPathItem item = *operand;
	JsonPathItem part;

	for (;;)
	{
		if (item.type == jpiAny)
			return true;
		if (item.type == jpiPlus || item.type == jpiMinus)
		{
			jspGetArg(&item, &part);
			if (is_deep(&part))
				return true;
		}
		if (!jspGetNext(&item, &part))
			return false;
		item = part;
	}
}

static void
look_at_operands(JsonPathItem *item, bool compared, Look *look)
{
	JsonPathItem left;
	JsonPathItem right;

	check_stack_depth();
	jspGetLeftArg(item, &left);
	jspGetRightArg(item, &right);
	if (compared && (is_list(&left) || is_list(&right)))
	{
		look->findings.compares = true;
		look->findings.compares_deep |= is_list(&left) && is_list(&right) && (is_deep(&left) || is_deep(&right));
		if (look->compared != NULL)
			look->compared(item, look->arg);
	}
	look_at_item(&left, look);
	look_at_item(&right, look);
}

static void
look_at_subscripts(JsonPathItem *item, Look *look)
{
	for (int i = 0; i < item->content.array.nelems; i++)
	{
		JsonPathItem from;
		JsonPathItem to;

		if (jspGetArraySubscript(item, &from, &to, i))
			look_at_item(&to, look);
		look_at_item(&from, look);
	}
}

/* With all that it is made of, and what follows it. */
static void
look_at_item(JsonPathItem *item, Look *look)
{
	JsonPathItem part;

	check_stack_depth();
	switch (item->type)
	{
		case jpiEqual:
		case jpiNotEqual:
		case jpiLess:
		case jpiGreater:
		case jpiLessOrEqual:
		case jpiGreaterOrEqual:
		case jpiStartsWith:
			look_at_operands(item, true, look);
			break;
		case jpiAnd:
		case jpiOr:
		case jpiAdd:
		case jpiSub:
			look_at_operands(item, false, look);
			break;
		case jpiMul:
		case jpiDiv:
		case jpiMod:
			look->findings.nproducts++;
			look_at_operands(item, false, look);
			break;
		case jpiNot:
		case jpiIsUnknown:
		case jpiPlus:
		case jpiMinus:
		case jpiFilter:
		case jpiExists:
			jspGetArg(item, &part);
			look_at_item(&part, look);
			break;
		case jpiLikeRegex:
			jspInitByBuffer(&part, item->base, item->content.like_regex.expr);
			look_at_item(&part, look);
			break;
		case jpiIndexArray:
			look_at_subscripts(item, look);
			break;
		case jpiAny:
			look->findings.ndeep++;
			break;
		case jpiKeyValue:
			look->has_keyvalue = true;
			break;
		case jpiVariable:
			look->findings.has_variable = true;
			break;
		default:
			break;
	}
	if (item->type != jpiRoot && item->type != jpiKey && item->type != jpiIndexArray &&
		item->type != jpiNumeric && item->type != jpiLast)
		look->findings.is_plain = false;
	if (jspGetNext(item, &part))
		look_at_item(&part, look);
}

PathFindings
pathwork_look(JsonPath *path)
{
	Look		look = {.findings.is_plain = true};
	JsonPathItem item;

	jspInit(&item, path);
	look_at_item(&item, &look);
	return look.findings;
}

/* ---------------------------------------------------------------------
 * What there is to be found
 * ---------------------------------------------------------------------
 */

/* Values that an operand may have; no fewer than it has. */
typedef struct Load
{
	double		values;			/* of any kind */
	double		strings;
	double		string_bytes;
	double		numbers;
	double		number_bytes;
	double		keys;
	double		key_bytes;
	double		text_bytes;		/* of the numbers, if they are written out */
	int			depth;
} Load;

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

/* All in it, itself included. */
static Load
load_of(JsonbContainer *container, bool texts)
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

/* Without a look at it: that is no less than any of it has. */
static Load
load_by_size(const Jsonb *value)
{
	double		bytes = VARSIZE(value);
	double		count = bytes / sizeof(JEntry) + 1;

	return (Load) {count, count, bytes, count, bytes, count, bytes, 0, (int) count};
}

static void
multiply(Load *load, double factor)
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

/* Names of types, and texts of what is no number, have no more bytes. */
#define SHORT_TEXT		64

/* Methods whose numbers come of something else than numbers have no more. */
#define SHORT_NUMBER	32

/* By one step of a path. */
static void
take_step(Load *load, const JsonPathItem *step)
{
	switch (step->type)
	{
		case jpiIndexArray:
			multiply(load, step->content.array.nelems);
			break;
		case jpiAny:			/* each again below each, and what unwraps arrays finds it twice */
			multiply(load, 2 * load->depth);
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

/* ---------------------------------------------------------------------
 * How long it takes to compare
 *
 * In nanoseconds, as measured, and rounded up.
 * ---------------------------------------------------------------------
 */
#define PAIR_NS				15.0
#define NUMBER_BYTE_NS		0.5
#define STRING_BYTE_NS		0.05

/* Where strings are not in UTF-8, both of a pair are made so, but to see if they are equal. */
#define CONVERTED_NS		150.0
#define CONVERTED_BYTE_NS	2.5

/* As a path has altogether (PATHQUERY_MS). */
#define MAX_NS				100e6

static bool
converts(JsonPathItemType comparison)
{
	return comparison != jpiEqual && comparison != jpiStartsWith &&
		GetDatabaseEncoding() != PG_UTF8 && GetDatabaseEncoding() != PG_SQL_ASCII;
}

/* Of a pair, as much is looked at as the shorter one has. */
static double
bytes_of_pairs(double a, double a_bytes, double b, double b_bytes)
{
	return Min(a * b_bytes, b * a_bytes);
}

static double
takes_ns(JsonPathItemType comparison, const Load *a, const Load *b)
{
	double		ns = PAIR_NS * a->values * b->values;

	ns += NUMBER_BYTE_NS * bytes_of_pairs(a->numbers, a->number_bytes, b->numbers, b->number_bytes);
	if (converts(comparison))
		return ns + CONVERTED_NS * a->strings * b->strings +
			CONVERTED_BYTE_NS * (a->strings * b->string_bytes + b->strings * a->string_bytes);
	return ns + STRING_BYTE_NS * bytes_of_pairs(a->strings, a->string_bytes, b->strings, b->string_bytes);
}

/* ---------------------------------------------------------------------
 * Its comparisons
 * ---------------------------------------------------------------------
 */
typedef struct Reckoning
{
	Jsonb	   *value;
	bool		by_size;		/* not looked at */
	bool		keys_are_values;	/* the path makes some of them */
	bool		known;			/* has it been? */
	Load		whole;
	char	   *why_not;
	bool		is_over;
} Reckoning;

static Load
load_of_all(Reckoning *reckoning, bool texts)
{
	if (reckoning->by_size)
		return load_by_size(reckoning->value);
	if (!reckoning->known || texts)
		reckoning->whole = load_of(&reckoning->value->root, texts);
	reckoning->known = true;
	return reckoning->whole;
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

/* Is the step to one value of the container at the most?  NULL: there is none. */
static bool
takes_one(JsonbContainer *container, JsonPathItem *step, JsonbValue **found)
{
	double		number;
	int			length;
	const char *key;

	if (step->type == jpiKey && JsonContainerIsObject(container))
	{
		key = jspGetString(step, &length);
		*found = getKeyJsonValueFromContainer(container, key, length, NULL);
		return true;
	}
	if (!JsonContainerIsArray(container) || JsonContainerIsScalar(container) || !is_element(step, &number))
		return false;
	*found = number >= 0 && number < JsonContainerSize(container) ?
		getIthJsonbValueFromContainer(container, (uint32) number) : NULL;
	return true;
}

/* What "$" finds by the names and numbers that follow it, which item is moved past. */
static Load
load_of_root(Reckoning *reckoning, JsonPathItem *item, bool texts)
{
	JsonbContainer *container = &reckoning->value->root;
	JsonPathItem next;
	JsonbValue *found;
	Load		load = {.depth = 1};

	if (reckoning->by_size)
		return load_of_all(reckoning, texts);
	while (jspGetNext(item, &next) && takes_one(container, &next, &found))
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
	return container == &reckoning->value->root ? load_of_all(reckoning, texts) : load_of(container, texts);
}

static Load
load_of_current(Reckoning *reckoning, bool texts)
{
	Load		load = load_of_all(reckoning, texts);

	if (!reckoning->keys_are_values)
		return load;
	load.values += load.keys;
	load.strings += load.keys;
	load.string_bytes += load.key_bytes;
	return load;
}

/* The results of products and such, which are numbers (PATHQUERY_MAX_PRODUCTS). */
#define MAX_RESULT		(32 * 1024)

static Load
load_of_one(const JsonPathItem *item)
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

/* Are there methods that write numbers out? */
static bool
writes_texts(const JsonPathItem *operand)
{
	JsonPathItem item = *operand;
	JsonPathItem part;

	for (;;)
	{
		if ((item.type == jpiPlus || item.type == jpiMinus) && (jspGetArg(&item, &part), writes_texts(&part)))
			return true;
		if (item.type > jpiLikeRegex)
			return true;
		if (!jspGetNext(&item, &part))
			return false;
		item = part;
	}
}

/* More are not found in the time that a path has: then it is over before it compares. */
#define MAX_FOUND		4e6

static Load
load_of_operand(Reckoning *reckoning, const JsonPathItem *operand)
{
	JsonPathItem item = *operand;
	JsonPathItem part;
	bool		texts = writes_texts(operand);
	Load		load;

	check_stack_depth();
	if (item.type == jpiPlus || item.type == jpiMinus)
	{
		jspGetArg(&item, &part);
		load = load_of_operand(reckoning, &part);
	}
	else if (item.type == jpiRoot)
		load = load_of_root(reckoning, &item, texts);
	else if (item.type == jpiCurrent)
		load = load_of_current(reckoning, texts);
	else
		load = load_of_one(&item);
	while (jspGetNext(&item, &part))
	{
		take_step(&load, &part);
		item = part;
	}
	load.values = Min(load.values, MAX_FOUND);
	load.strings = Min(load.strings, MAX_FOUND);
	load.numbers = Min(load.numbers, MAX_FOUND);
	return load;
}

static bool
is_same_key(JsonPathItem *a, JsonPathItem *b)
{
	int			a_length;
	int			b_length;
	char	   *a_key = jspGetString(a, &a_length);
	char	   *b_key = jspGetString(b, &b_length);

	return a_length == b_length && memcmp(a_key, b_key, a_length) == 0;
}

/*
 * Do both find things in the same place, which load_of_operand() has for each of them, but
 * by different names?
 */
static bool
share_load(const JsonPathItem *left, const JsonPathItem *right)
{
	JsonPathItem a = *left;
	JsonPathItem b = *right;
	JsonPathItem next_a;
	JsonPathItem next_b;
	bool		same_place = a.type == jpiCurrent;

	if (a.type != b.type || (a.type != jpiCurrent && a.type != jpiRoot))
		return false;
	while (jspGetNext(&a, &next_a) && jspGetNext(&b, &next_b) && next_a.type == next_b.type)
	{
		if (next_a.type != jpiKey && next_a.type != jpiAnyArray)
			return false;
		if (next_a.type == jpiKey && !is_same_key(&next_a, &next_b))
			return same_place;
		same_place |= next_a.type == jpiAnyArray;
		a = next_a;
		b = next_b;
	}
	return false;
}

/* arg: a Reckoning */
static void
reckon(JsonPathItem *comparison, void *arg)
{
	Reckoning  *reckoning = arg;
	JsonPathItem left;
	JsonPathItem right;
	Load		a;
	Load		b;

	if (reckoning->is_over)
		return;
	CHECK_FOR_INTERRUPTS();
	jspGetLeftArg(comparison, &left);
	jspGetRightArg(comparison, &right);
	a = load_of_operand(reckoning, &left);
	b = load_of_operand(reckoning, &right);
	if (share_load(&left, &right) && !converts(comparison->type))
	{
		/* what one has the other one has not: with half of it each they are most pairs */
		multiply(&a, 0.5);
		multiply(&b, 0.5);
	}
	reckoning->is_over = takes_ns(comparison->type, &a, &b) > MAX_NS ||
		(reckoning->by_size && (writes_texts(&left) || writes_texts(&right)));
	if (reckoning->is_over && !reckoning->by_size)
		reckoning->why_not = psprintf("it compares lists that are too long together, of up to %.0f and %.0f values of the event",
									  a.values, b.values);
}

char *
pathwork_why_not(JsonPath *path, Jsonb *value)
{
	Reckoning	reckoning = {.value = value, .by_size = true};
	Look		look = {.compared = reckon, .arg = &reckoning};
	JsonPathItem item;

	jspInit(&item, path);
	look_at_item(&item, &look);
	if (!reckoning.is_over)		/* nearly always */
		return NULL;
	reckoning.by_size = reckoning.is_over = false;
	reckoning.keys_are_values = look.has_keyvalue;
	look_at_item(&item, &look);
	return reckoning.why_not;
}
