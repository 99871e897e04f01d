/*-------------------------------------------------------------------------
 *
 * mapped_tree.c
 *		The tree that mappings become, and what is written of it.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "transform/json.h"
#include "transform/mapped_tree.h"
#include "transform/pairs.h"

/* ---------------------------------------------------------------------
 * Making it
 * ---------------------------------------------------------------------
 */

static MappedTree *
new_branch(MappedMaking *making, MappedTree *node, const char *name, int len)
{
	MappedBranch *branch;

	CHECK_FOR_INTERRUPTS();
	mapped_take(making, sizeof(MappedTree) + sizeof(MappedBranch) + len);
	if (node->count == node->size)
	{
		int			size = Max(8, 2 * node->size);

		node->branches = node->branches == NULL ? palloc(size * sizeof(MappedBranch)) :
			repalloc_huge(node->branches, size * sizeof(MappedBranch));
		node->size = size;
	}
	branch = &node->branches[node->count++];
	*branch = (MappedBranch) {name, len, palloc0(sizeof(MappedTree))};
	return branch->node;
}

static const char *
kind_of(const MappedTree *node)
{
	if (node->kind == NODE_ARRAY || (node->kind == NODE_VALUE && json_is_array(&node->value)))
		return "an array";
	if (node->kind == NODE_OBJECT || node->value.type == jbvBinary)
		return "an object";
	return node->value.type == jbvString ? "a string" :
		node->value.type == jbvBool ? "a boolean" : "a number";
}

pg_noreturn static void
report_conflict(const MappedTree *node, const char *wanted)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("there is %s already where it needs %s", kind_of(node), wanted)));
}

/* It becomes an object, if it is not one. */
static void
become_object(MappedMaking *making, MappedTree *node)
{
	MappedTree	was = *node;

	if (node->kind == NODE_OBJECT)
		return;
	if (node->kind == NODE_ARRAY ||
		(node->kind == NODE_VALUE && node->value.type != jbvBinary && node->value.type != jbvString))
		report_conflict(node, "an object");
	memset(node, 0, sizeof(MappedTree));
	node->kind = NODE_OBJECT;
	if (was.kind == NODE_VALUE)
		*new_branch(making, node, NULL, 0) = was;
}

void
mapped_tree_array(MappedMaking *making, MappedTree *node)
{
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue	element;

	if (node->kind == NODE_ARRAY)
		return;
	/* as many as a value has, it has */
	node->counted = node->kind == NODE_VALUE;
	if (node->kind != NODE_ABSENT && !(node->kind == NODE_VALUE && json_is_array(&node->value)))
		report_conflict(node, "an array");
	it = node->kind == NODE_VALUE ? JsonbIteratorInit(node->value.val.binary.data) : NULL;
	node->kind = NODE_ARRAY;
	while (it != NULL && (token = JsonbIteratorNext(&it, &element, true)) != WJB_DONE)
	{
		MappedTree *branch;

		if (token != WJB_ELEM)
			continue;
		branch = new_branch(making, node, NULL, 0);
		branch->kind = element.type == jbvNull ? NODE_ABSENT : NODE_VALUE;
		branch->value = element;
	}
}

MappedTree *
mapped_tree_member(MappedMaking *making, MappedTree *node, const MappingPart *part)
{
	become_object(making, node);
	for (int i = 0; i < node->count; i++)
	{
		const MappedBranch *branch = &node->branches[i];

		if (branch->name != NULL && branch->len == part->len &&
			memcmp(branch->name, part->name, part->len) == 0)
			return branch->node;
	}
	return new_branch(making, node, part->name, part->len);
}

MappedTree *
mapped_tree_element(MappedMaking *making, MappedTree *node, int subscript)
{
	mapped_tree_array(making, node);
	while (node->count <= subscript)
		(void) new_branch(making, node, NULL, 0);
	return node->branches[subscript].node;
}

void
mapped_tree_assign(MappedTree *node, const JsonbValue *value, int order)
{
	if (node->kind == NODE_OBJECT || node->kind == NODE_ARRAY)
		return;
	if (node->kind == NODE_VALUE &&
		(order < node->order ? !js_truthy(value) : js_truthy(&node->value)))
		return;
	node->kind = NODE_VALUE;
	node->value = *value;
	node->order = order;
}

void
mapped_tree_spread(MappedMaking *making, MappedTree *root, const JsonbValue *value)
{
	MappedTree *branch = new_branch(making, root, NULL, 0);

	branch->kind = NODE_VALUE;
	branch->value = *value;
}

/* ---------------------------------------------------------------------
 * Writing
 * ---------------------------------------------------------------------
 */

#define MAX_NUMBER	sizeof("-2147483648")

static void
add_member(JsonbValue *object, const char *name, int len, const JsonbValue *value)
{
	JsonbPair  *pair = &object->val.object.pairs[object->val.object.nPairs];

	json_set_string(&pair->key, name, len);
	pair->value = *value;
	pair->order = object->val.object.nPairs++;
}

static void
add_numbered(JsonbValue *object, int number, char *name, const JsonbValue *value)
{
	add_member(object, name, pg_ltoa(number, name), value);
}

/* The bytes of a string's character that begins there. */
static int
character_len(const JsonbValue *string, int at)
{
	return Min(pg_encoding_mblen(GetDatabaseEncoding(), string->val.string.val + at),
			   string->val.string.len - at);
}

/* How many members a value has that is spread. */
static int
spread_count(const JsonbValue *value)
{
	int			count = 0;

	if (value->type == jbvBinary)
		return JsonContainerSize(value->val.binary.data);
	if (value->type != jbvString)
		return 0;
	for (int i = 0; i < value->val.string.len; i += character_len(value, i))
	{
		CHECK_FOR_INTERRUPTS();
		count++;
	}
	return count;
}

/* A string's characters, by their numbers. */
static void
add_characters(JsonbValue *object, const JsonbValue *string, char *names)
{
	int			number = 0;
	int			width;

	for (int i = 0; i < string->val.string.len; i += width)
	{
		JsonbValue	character;

		CHECK_FOR_INTERRUPTS();
		width = character_len(string, i);
		json_set_string(&character, string->val.string.val + i, width);
		add_numbered(object, number, names + number * MAX_NUMBER, &character);
		number++;
	}
}

/* The members of an object, or an array's elements by their numbers. */
static void
add_contained(JsonbValue *object, JsonbContainer *container, char *names)
{
	JsonbIterator *it = JsonbIteratorInit(container);
	JsonbIteratorToken token;
	JsonbValue	key;
	JsonbValue	value;
	int			number = 0;

	while ((token = JsonbIteratorNext(&it, &key, true)) != WJB_DONE)
	{
		CHECK_FOR_INTERRUPTS();
		if (token == WJB_KEY)
		{
			(void) JsonbIteratorNext(&it, &value, true);
			add_member(object, key.val.string.val, key.val.string.len, &value);
		}
		else if (token == WJB_ELEM)
		{
			add_numbered(object, number, names + number * MAX_NUMBER, &key);
			number++;
		}
	}
}

static void
add_spread(JsonbValue *object, const JsonbValue *value, int count)
{
	char	   *names = palloc_extended(count * MAX_NUMBER, MCXT_ALLOC_HUGE);

	if (value->type == jbvString)
		add_characters(object, value, names);
	else if (value->type == jbvBinary)
		add_contained(object, value->val.binary.data, names);
}

/*
 * A character that is spread takes a hundred times its bytes, and an element of an array
 * ten times: so all that they take counts.
 */
static JsonbPair *
room_for_members(MappedMaking *making, const MappedTree *node)
{
	Size		count = 0;

	for (int i = 0; i < node->count; i++)
	{
		const MappedBranch *branch = &node->branches[i];
		Size		members = branch->name != NULL ? 1 : spread_count(&branch->node->value);

		if (branch->name == NULL)
			mapped_take(making, members * (sizeof(JsonbPair) + MAX_NUMBER));
		count += members;
	}
	return palloc_extended(count * sizeof(JsonbPair), MCXT_ALLOC_HUGE);
}

static void
object_value(MappedMaking *making, const MappedTree *node, JsonbValue *object)
{
	json_set_object(object, room_for_members(making, node), 0);
	for (int i = 0; i < node->count; i++)
	{
		const MappedBranch *branch = &node->branches[i];
		JsonbValue	value;

		if (branch->name == NULL)
			add_spread(object, &branch->node->value, spread_count(&branch->node->value));
		else if (branch->node->kind != NODE_ABSENT)
		{
			mapped_tree_value(making, branch->node, &value);
			add_member(object, branch->name, branch->len, &value);
		}
	}
	pairs_sort(object->val.object.pairs, &object->val.object.nPairs);
}

void
mapped_tree_value(MappedMaking *making, const MappedTree *node, JsonbValue *value)
{
	CHECK_FOR_INTERRUPTS();
	switch (node->kind)
	{
		case NODE_ABSENT:
			value->type = jbvNull;
			break;
		case NODE_VALUE:
			*value = node->value;
			break;
		case NODE_OBJECT:
			object_value(making, node, value);
			break;
		case NODE_ARRAY:
			json_set_array(value, palloc_extended((Size) node->count * sizeof(JsonbValue), MCXT_ALLOC_HUGE), node->count);
			for (int i = 0; i < node->count; i++)
				mapped_tree_value(making, node->branches[i].node, &value->val.array.elems[i]);
			break;
	}
}
