/*-------------------------------------------------------------------------
 *
 * pathlook.c
 *		What a jsonpath does, by a look at it alone.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"

#include "transform/pathlook.h"

/* What is found on the way: a comparison, or one operand after the other. */
typedef struct Look
{
	PathFindings findings;
	void		(*compared) (JsonPathItem *comparison, void *arg);	/* NULL: nobody asks */
	void	   *arg;
} Look;

static void look_at_item(JsonPathItem *item, Look *look);

JsonPathItem
pathlook_without_sign(const JsonPathItem *operand)
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
	JsonPathItem first = pathlook_without_sign(operand);

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

/* Methods without a template try those of the standard, which have no more altogether. */
#define STANDARD_TEMPLATES	128

static void
look_at_template(JsonPathItem *item, Look *look)
{
	int			length = STANDARD_TEMPLATES;
	JsonPathItem template;

	if (item->type == jpiDatetime && item->content.arg != 0)
	{
		jspGetArg(item, &template);
		(void) jspGetString(&template, &length);
	}
	look->findings.template_bytes = Max(look->findings.template_bytes, length);
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
			look->findings.has_keyvalue = true;
			break;
		case jpiVariable:
			look->findings.has_variable = true;
			break;
		case jpiDatetime:
			look_at_template(item, look);
			break;
		default:
			if (item->type <= jpiLikeRegex)
				break;
			look->findings.writes_texts = true;
			look_at_template(item, look);
			break;
	}
	if (item->type != jpiRoot && item->type != jpiKey && item->type != jpiIndexArray &&
		item->type != jpiNumeric && item->type != jpiLast)
		look->findings.is_plain = false;
	if (jspGetNext(item, &part))
		look_at_item(&part, look);
}

PathFindings
pathlook_at_comparisons(JsonPath *path, void (*compared) (JsonPathItem *comparison, void *arg), void *arg)
{
	Look		look = {.findings.is_plain = true, .compared = compared, .arg = arg};
	JsonPathItem item;

	jspInit(&item, path);
	look_at_item(&item, &look);
	return look.findings;
}

PathFindings
pathlook_at(JsonPath *path)
{
	return pathlook_at_comparisons(path, NULL, NULL);
}
