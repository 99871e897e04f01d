/*-------------------------------------------------------------------------
 *
 * filter_path.c
 *		What the jsonpath of a filter does.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"

#include "destination/filter_path.h"

static void look_at_item(JsonPathItem *item, FilterFindings *findings);

/* Can an operand be several values? */
static bool
is_path(const JsonPathItem *operand)
{
	return operand->type == jpiRoot || operand->type == jpiCurrent;
}

static bool
is_deep(JsonPathItem *operand)
{
	JsonPathItem item = *operand;
	JsonPathItem next;

	while (item.type != jpiAny && jspGetNext(&item, &next))
		item = next;
	return item.type == jpiAny;
}

static void
look_at_operands(JsonPathItem *item, bool compared, FilterFindings *findings)
{
	JsonPathItem left;
	JsonPathItem right;

	jspGetLeftArg(item, &left);
	jspGetRightArg(item, &right);
	if (compared && is_path(&left) && is_path(&right))
	{
		findings->compares = true;
		findings->compares_deep |= is_deep(&left) || is_deep(&right);
	}
	look_at_item(&left, findings);
	look_at_item(&right, findings);
}

static void
look_at_subscripts(JsonPathItem *item, FilterFindings *findings)
{
	for (int i = 0; i < item->content.array.nelems; i++)
	{
		JsonPathItem from;
		JsonPathItem to;

		if (jspGetArraySubscript(item, &from, &to, i))
			look_at_item(&to, findings);
		look_at_item(&from, findings);
	}
}

/* With all that it is made of, and what follows it. */
static void
look_at_item(JsonPathItem *item, FilterFindings *findings)
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
			look_at_operands(item, true, findings);
			break;
		case jpiAnd:
		case jpiOr:
		case jpiAdd:
		case jpiSub:
			look_at_operands(item, false, findings);
			break;
		case jpiMul:
		case jpiDiv:
		case jpiMod:
			findings->nproducts++;
			look_at_operands(item, false, findings);
			break;
		case jpiNot:
		case jpiIsUnknown:
		case jpiPlus:
		case jpiMinus:
		case jpiFilter:
		case jpiExists:
			jspGetArg(item, &part);
			look_at_item(&part, findings);
			break;
		case jpiLikeRegex:
			jspInitByBuffer(&part, item->base, item->content.like_regex.expr);
			look_at_item(&part, findings);
			break;
		case jpiIndexArray:
			look_at_subscripts(item, findings);
			break;
		default:
			break;
	}
	if (jspGetNext(item, &part))
		look_at_item(&part, findings);
}

FilterFindings
filter_path_look(JsonPath *path)
{
	FilterFindings findings = {0};
	JsonPathItem item;

	jspInit(&item, path);
	look_at_item(&item, &findings);
	return findings;
}

char *
filter_path_text(JsonPath *path)
{
	return DatumGetCString(DirectFunctionCall1(jsonpath_out, PointerGetDatum(path)));
}

bool
destination_path_check(JsonPath *path, FieldProblem *problem)
{
	FilterFindings findings = filter_path_look(path);

	if (findings.nproducts > FILTER_MAX_PRODUCTS)
		return problem_set(problem, "filter", NULL,
						   psprintf("It has more than %d multiplications and divisions.", FILTER_MAX_PRODUCTS), NULL);
	if (!findings.compares_deep)
		return true;
	return problem_set(problem, "filter",
					   filter_path_text(path),
					   "It compares two paths, of which one has a \".**\".",
					   "Name the keys instead, or compare with a value.");
}

