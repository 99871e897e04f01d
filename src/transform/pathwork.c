/*-------------------------------------------------------------------------
 *
 * pathwork.c
 *		How long the comparisons of a jsonpath may take.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "mb/pg_wchar.h"
#include "miscadmin.h"

#include "transform/pathload.h"
#include "transform/pathwork.h"

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
	bool		writes_texts;	/* somewhere in it */
	bool		is_lax;
	char	   *why_not;
	bool		is_over;
} Reckoning;

/* What "@" is while a comparison is reckoned. */
typedef struct Current
{
	JsonbContainer *container;	/* NULL: a scalar */
	Load		scalar;
} Current;

/* What "@" finds by what follows it, which item is moved past in part. */
static Load
load_of_current(Reckoning *reckoning, const Current *current, JsonPathItem *item)
{
	Load		load;

	if (current != NULL)
		return current->container == NULL ? current->scalar :
			pathload_below(current->container, item, reckoning->is_lax, reckoning->writes_texts);
	/* it may be anything, and a key besides */
	load = pathload_of(&reckoning->value->root, reckoning->writes_texts);
	load.values += load.keys;
	load.strings += load.keys;
	load.string_bytes += load.key_bytes;
	return load;
}

/* More are not found in the time that a path has: then it is over before it compares. */
#define MAX_FOUND		4e6

static Load
load_of_operand(Reckoning *reckoning, const Current *current, const JsonPathItem *operand)
{
	JsonPathItem item = *operand;
	JsonPathItem part;
	Load		load;

	check_stack_depth();
	if (item.type == jpiPlus || item.type == jpiMinus)
	{
		jspGetArg(&item, &part);
		load = load_of_operand(reckoning, current, &part);
	}
	else if (item.type != jpiRoot && item.type != jpiCurrent)
		load = pathload_of_one(&item);
	else if (reckoning->by_size)
		load = pathload_by_size(reckoning->value);
	else if (item.type == jpiRoot)
		load = pathload_below(&reckoning->value->root, &item, reckoning->is_lax, reckoning->writes_texts);
	else
		load = load_of_current(reckoning, current, &item);
	while (jspGetNext(&item, &part))
	{
		pathload_take_step(&load, &part);
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
 * Do both find things in the elements of the same list, for each of which load_of_operand()
 * has all of it, but by different names?
 */
static bool
share_load(const JsonPathItem *left, const JsonPathItem *right)
{
	JsonPathItem a = *left;
	JsonPathItem b = *right;
	JsonPathItem next_a;
	JsonPathItem next_b;
	bool		is_list = false;

	if (a.type != b.type || (a.type != jpiCurrent && a.type != jpiRoot))
		return false;
	while (jspGetNext(&a, &next_a) && jspGetNext(&b, &next_b) && next_a.type == next_b.type)
	{
		if (next_a.type != jpiKey && next_a.type != jpiAnyArray)
			return false;
		if (next_a.type == jpiKey && !is_same_key(&next_a, &next_b))
			return is_list;
		is_list |= next_a.type == jpiAnyArray;
		a = next_a;
		b = next_b;
	}
	return false;
}

static void
reckon_for(Reckoning *reckoning, const Current *current, JsonPathItem *comparison)
{
	JsonPathItem left;
	JsonPathItem right;
	Load		a;
	Load		b;

	jspGetLeftArg(comparison, &left);
	jspGetRightArg(comparison, &right);
	a = load_of_operand(reckoning, current, &left);
	b = load_of_operand(reckoning, current, &right);
	if (share_load(&left, &right) && !converts(comparison->type))
	{
		/* what one has the other one has not: with half of it each they are most pairs */
		pathload_multiply(&a, 0.5);
		pathload_multiply(&b, 0.5);
	}
	reckoning->is_over = takes_ns(comparison->type, &a, &b) > MAX_NS;
	if (reckoning->is_over && !reckoning->by_size)
		reckoning->why_not = psprintf("it compares lists that are too long together, of up to %.0f and %.0f values of the event",
									  a.values, b.values);
}

/* Is it ever "@"?  In lax mode a filter unwraps the array that it is given. */
static bool
may_be_current(const Reckoning *reckoning, const JsonbIterator *it, JsonbIteratorToken begun)
{
	return begun == WJB_BEGIN_OBJECT ||
		(begun == WJB_BEGIN_ARRAY &&
		 (!reckoning->is_lax || (it->parent != NULL && JsonContainerIsArray(it->parent->container))));
}

/* With all that "@" may be, one after the other: it is the same one in both operands. */
static void
reckon_for_each(Reckoning *reckoning, JsonPathItem *comparison)
{
	Current		current = {.scalar = pathload_of_longest(&reckoning->value->root, reckoning->writes_texts)};
	JsonbIterator *it = JsonbIteratorInit(&reckoning->value->root);
	JsonbIteratorToken token;
	JsonbValue	value;

	reckon_for(reckoning, &current, comparison);
	while (!reckoning->is_over && (token = JsonbIteratorNext(&it, &value, false)) != WJB_DONE)
	{
		CHECK_FOR_INTERRUPTS();
		if (!may_be_current(reckoning, it, token))
			continue;
		current.container = it->container;
		reckon_for(reckoning, &current, comparison);
	}
}

/* arg: a Reckoning */
static void
reckon(JsonPathItem *comparison, void *arg)
{
	Reckoning  *reckoning = arg;
	JsonPathItem left;
	JsonPathItem right;

	if (reckoning->is_over)
		return;
	CHECK_FOR_INTERRUPTS();
	jspGetLeftArg(comparison, &left);
	jspGetRightArg(comparison, &right);
	if (!reckoning->by_size && !reckoning->keys_are_values &&
		(pathlook_without_sign(&left).type == jpiCurrent || pathlook_without_sign(&right).type == jpiCurrent))
		reckon_for_each(reckoning, comparison);
	else
		reckon_for(reckoning, NULL, comparison);
}

char *
pathwork_why_not(JsonPath *path, Jsonb *value)
{
	Reckoning	reckoning = {.value = value, .by_size = true, .is_lax = (path->header & JSONPATH_LAX) != 0};
	PathFindings findings = pathlook_at_comparisons(path, reckon, &reckoning);

	if (!reckoning.is_over && !findings.writes_texts)	/* nearly always */
		return NULL;
	reckoning.by_size = reckoning.is_over = false;
	reckoning.writes_texts = findings.writes_texts;
	reckoning.keys_are_values = findings.has_keyvalue;
	(void) pathlook_at_comparisons(path, reckon, &reckoning);
	return reckoning.why_not;
}
