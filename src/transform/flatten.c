/*-------------------------------------------------------------------------
 *
 * flatten.c
 *		RudderStack's flattening of nested values into params, and the list
 *		of names and values that it fills.
 *
 * {"a": [1, {"b": null}], "e": {}} becomes a[0] = 1, a[1].b = null, e = {}.
 * Nothing in a key is escaped, so different places may have the same path.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/builtins.h"

#include "transform/flatten.h"
#include "transform/json.h"
#include "transform/values.h"

static void flatten_at(StringInfo path, const JsonbValue *value, NamedValues *out);

/* What another one takes, or an error before it is taken. */
static inline void
take_room(NamedValues *list, Size text_len)
{
	list->bytes += sizeof(NamedValue) + text_len;
	if (list->limit > 0 && list->bytes > list->limit)
		json_too_large(list->limit);
}

static void
append_item(NamedValues *list, const char *name, int name_len,
			const JsonbValue *value)
{
	NamedValue *item;

	if (list->count == list->size)
	{
		int			size = Max(16, 2 * list->size);

		if (list->items == NULL)
			list->items = palloc(size * sizeof(NamedValue));
		else
			list->items = repalloc_huge(list->items, size * sizeof(NamedValue));
		list->size = size;
	}
	item = &list->items[list->count];
	item->name = name;
	item->name_len = name_len;
	item->value = *value;
	item->named_by_event = item->valued_by_event = item->is_own = false;
	item->position = list->count++;
}

void
named_values_add(NamedValues *list, const char *name, int name_len,
				 const JsonbValue *value)
{
	take_room(list, name_len);
	append_item(list, name, name_len, value);
}

static int
named_value_cmp(const void *a, const void *b)
{
	const NamedValue *left = a;
	const NamedValue *right = b;
	int			cmp = json_key_cmp(left->name, left->name_len,
								   right->name, right->name_len);

	if (cmp != 0)
		return cmp;
	return left->position < right->position ? -1 : 1;
}

void
named_values_settle(NamedValues *list)
{
	NamedValue *items = list->items;
	int			kept = 0;
	int			i;

	/* Mostly they come out of jsonb in order and without a collision. */
	for (i = 1; i < list->count; i++)
	{
		if (json_key_cmp(items[i - 1].name, items[i - 1].name_len,
						 items[i].name, items[i].name_len) >= 0)
			break;
	}
	if (i >= list->count)
		return;

	qsort(items, list->count, sizeof(NamedValue), named_value_cmp);
	for (i = 0; i < list->count; i++)
	{
		if (i + 1 < list->count &&
			json_key_cmp(items[i].name, items[i].name_len,
						 items[i + 1].name, items[i + 1].name_len) == 0)
			continue;			/* a later one has the same name */
		items[kept++] = items[i];
	}
	list->count = kept;
}

/*
 * Every leaf's path repeats those of the containers around it, so a deep
 * document grows quadratically.
 */
static void
add_leaf(StringInfo path, const JsonbValue *value, NamedValues *out)
{
	take_room(out, path->len);
	append_item(out, pnstrdup(path->data, path->len), path->len, value);
}

static void
flatten_object(StringInfo path, const JsonbValue *object, NamedValues *out)
{
	JsonbIterator *it = JsonbIteratorInit(object->val.binary.data);
	JsonbIteratorToken token;
	JsonbValue	key;
	JsonbValue	value;
	int			parent_len = path->len;

	if (JsonContainerSize(object->val.binary.data) == 0 && parent_len > 0)
		add_leaf(path, object, out);

	while ((token = JsonbIteratorNext(&it, &key, true)) != WJB_DONE)
	{
		if (token != WJB_KEY)
			continue;
		CHECK_FOR_INTERRUPTS();
		(void) JsonbIteratorNext(&it, &value, true);

		if (parent_len == 0 && IsAJsonbScalar(&value))
		{
			/* the key is the path: no need for a copy */
			named_values_add(out, key.val.string.val, key.val.string.len, &value);
			continue;
		}
		if (parent_len > 0)
			appendStringInfoChar(path, '.');
		appendBinaryStringInfo(path, key.val.string.val, key.val.string.len);
		flatten_at(path, &value, out);

		path->len = parent_len;
		path->data[parent_len] = '\0';
	}
}

static void
flatten_array(StringInfo path, const JsonbValue *array, NamedValues *out)
{
	JsonbIterator *it = JsonbIteratorInit(array->val.binary.data);
	JsonbIteratorToken token;
	JsonbValue	value;
	int			parent_len = path->len;
	uint32		index = 0;
	char		digits[10];

	if (JsonContainerSize(array->val.binary.data) == 0)
		add_leaf(path, array, out);

	while ((token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
	{
		if (token != WJB_ELEM)
			continue;
		CHECK_FOR_INTERRUPTS();

		appendStringInfoChar(path, '[');
		appendBinaryStringInfo(path, digits, pg_ultoa_n(index++, digits));
		appendStringInfoChar(path, ']');
		flatten_at(path, &value, out);

		path->len = parent_len;
		path->data[parent_len] = '\0';
	}
}

static void
flatten_at(StringInfo path, const JsonbValue *value, NamedValues *out)
{
	check_stack_depth();

	if (json_is_object(value))
		flatten_object(path, value, out);
	else if (json_is_array(value))
		flatten_array(path, value, out);
	else
		add_leaf(path, value, out);
}

void
flatten_value(const JsonbValue *value, NamedValues *out)
{
	StringInfoData path;

	initStringInfo(&path);
	flatten_at(&path, value, out);
	pfree(path.data);
	named_values_settle(out);
}
