/*-------------------------------------------------------------------------
 *
 * mapped_find.c
 *		What the paths of mappings find, as values.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"

#include "transform/json.h"
#include "transform/mapped_find.h"
#include "transform/pathquery.h"

void
mapped_find_set(JsonbValue *value, Jsonb *found)
{
	if (JB_ROOT_IS_SCALAR(found))
		(void) JsonbExtractScalar(&found->root, value);
	else
		json_set_container(value, &found->root, VARSIZE(found) - VARHDRSZ);
}

bool
mapped_find_is_null(Jsonb *found)
{
	JsonbValue	value;

	mapped_find_set(&value, found);
	return value.type == jbvNull;
}

/* As a string, which most receivers' texts have to be. */
static Jsonb *
text_of(const MappedFindings *findings, Jsonb *found)
{
	JsonbValue	value;
	JsonbValue	text;

	mapped_find_set(&value, found);
	if (value.type == jbvBinary)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg(".string() can only be applied to a string, a number or a boolean")));
	if (value.type == jbvNull || value.type == jbvString)
		return found;
	js_text(&value, &text, findings->making->limit);
	return JsonbValueToJsonb(&text);
}

static void
add_finding(Jsonb *found, void *arg)
{
	MappedFindings *findings = arg;

	if (!findings->with_nulls && mapped_find_is_null(found))
		return;
	if (findings->as_text)
		found = text_of(findings, found);
	mapped_take(findings->making, VARSIZE(found) + sizeof(Jsonb *));
	if (findings->count == findings->size)
	{
		int			size = Max(8, 2 * findings->size);

		findings->items = findings->items == NULL ? palloc(size * sizeof(Jsonb *)) :
			repalloc_huge(findings->items, size * sizeof(Jsonb *));
		findings->size = size;
	}
	findings->items[findings->count++] = found;
}

void
mapped_find(MappedMaking *making, const Mapping *mapping, int piece, Jsonb *at, bool with_nulls, MappedFindings *findings)
{
	char	   *why = pathquery_why_not(mapping->pieces[piece], &mapping->findings[piece], at);

	memset(findings, 0, sizeof(MappedFindings));
	findings->making = making;
	findings->with_nulls = with_nulls;
	findings->as_text = mapping->as_text && piece == mapping_npieces(mapping) - 1;
	if (why != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg_internal("%s", why)));
	pathquery_ask(mapping->pieces[piece], at, mapping->forgiving, add_finding, findings);
}

/* An array of values that point elsewhere. */
typedef struct Gathered
{
	MappedMaking *making;
	JsonbValue	array;
	int			size;
} Gathered;

/* flat: of an array its elements, of those likewise, and so on, so many times. */
static void
add_element(Gathered *list, const JsonbValue *value, int flat)
{
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue	element;

	CHECK_FOR_INTERRUPTS();
	if (flat > 0 && json_is_array(value))
	{
		it = JsonbIteratorInit(value->val.binary.data);
		while ((token = JsonbIteratorNext(&it, &element, true)) != WJB_DONE)
		{
			if (token == WJB_ELEM)
				add_element(list, &element, flat - 1);
		}
		return;
	}
	if (list->array.val.array.nElems == list->size)
	{
		int			size = Max(8, 2 * list->size);

		mapped_take(list->making, (size - list->size) * sizeof(JsonbValue));
		list->array.val.array.elems = repalloc_huge(list->array.val.array.elems, size * sizeof(JsonbValue));
		list->size = size;
	}
	list->array.val.array.elems[list->array.val.array.nElems++] = *value;
}

static Jsonb *
make_list(MappedMaking *making, const MappedFindings *findings, int flat)
{
	Gathered	list = {.making = making, .size = Max(findings->count, 1)};

	mapped_take(making, list.size * sizeof(JsonbValue));
	json_set_array(&list.array, palloc_extended((Size) list.size * sizeof(JsonbValue), MCXT_ALLOC_HUGE), 0);
	for (int i = 0; i < findings->count; i++)
	{
		JsonbValue	value;

		mapped_find_set(&value, findings->items[i]);
		add_element(&list, &value, flat);
	}
	return json_write(&list.array);
}

/* The list that a path ends in, at one place.  Of members, and of what is deep, arrays are dissolved. */
static Jsonb *
list_at(MappedMaking *making, const Mapping *mapping, Jsonb *at)
{
	MappedFindings findings;

	mapped_find(making, mapping, mapping->npieces, at, mapping->list != PATH_MEMBERS, &findings);
	return make_list(making, &findings, mapping->list == PATH_ELEMENTS ? 0 : mapping->list == PATH_MEMBERS ? 1 : 2);
}

/* A literal may go to each element of an array. */
static void
take_literal(MappedMaking *making, const JsonbValue *literal)
{
	if (literal->type == jbvString)
		mapped_take(making, literal->val.string.len);
	else if (literal->type == jbvNumeric)
		mapped_take(making, VARSIZE_ANY(literal->val.numeric));
	else if (literal->type == jbvBinary)
		mapped_take(making, literal->val.binary.len);
}

bool
mapped_find_value(MappedMaking *making, const Mapping *mapping, int piece, Jsonb *at, JsonbValue *value)
{
	MappedFindings findings;
	Jsonb	   *array;

	if (mapping->npieces == 0)
	{
		*value = mapping->literal;
		take_literal(making, value);
		return value->type != jbvNull;
	}
	mapped_find(making, mapping, piece, at, false, &findings);
	if (findings.count == 0)
		return false;
	for (int i = 0; mapping->list != PATH_NO_LIST && i < findings.count; i++)
		findings.items[i] = list_at(making, mapping, findings.items[i]);
	mapped_find_set(value, findings.items[0]);
	if (findings.count == 1)
		return true;
	array = make_list(making, &findings, 0);
	json_set_container(value, &array->root, VARSIZE(array) - VARHDRSZ);
	return true;
}
