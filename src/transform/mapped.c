/*-------------------------------------------------------------------------
 *
 * mapped.c
 *		What mappings make of an event.
 *
 * As RudderStack's templates do: mappings become one object literal of JavaScript, which
 * is then evaluated.  So "$" spreads a value there, where a later member wins; a name that
 * is given twice has the first value that is truthy, and one below a value that is no
 * literal spreads that.  Here that is a tree, whose leaves point into what was found.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "base/encoding.h"
#include "transform/json.h"
#include "transform/mapped.h"
#include "transform/pairs.h"

typedef enum NodeKind
{
	NODE_ABSENT,
	NODE_VALUE,
	NODE_OBJECT,
	NODE_ARRAY
} NodeKind;

typedef struct Tree Tree;

/* A member of an object, or all of a value's there. */
typedef struct Branch
{
	const char *name;			/* NULL, for an object: a value that is spread */
	int			len;
	Tree	   *node;
} Branch;

struct Tree
{
	NodeKind	kind;
	bool		counted;		/* a NODE_ARRAY has an element for each that was found */
	int			order;			/* which mapping a NODE_VALUE is of */
	JsonbValue	value;			/* of a NODE_VALUE */
	Branch	   *branches;
	int			count;
	int			size;
};

static void place(MappedMaking *making, Tree *node, int part, int piece, Jsonb *at);

/* ---------------------------------------------------------------------
 * The tree
 * ---------------------------------------------------------------------
 */

/* Of what is made of an event; before there is memory for it. */
static void
take(MappedMaking *making, Size bytes)
{
	making->bytes += bytes;
	if (making->bytes > making->limit)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("what is mapped is larger than %zu bytes", making->limit)));
}

static Tree *
new_branch(MappedMaking *making, Tree *node, const char *name, int len)
{
	Branch	   *branch;

	CHECK_FOR_INTERRUPTS();
	take(making, sizeof(Tree) + sizeof(Branch) + len);
	if (node->count == node->size)
	{
		int			size = Max(8, 2 * node->size);

		node->branches = node->branches == NULL ? palloc(size * sizeof(Branch)) :
			repalloc_huge(node->branches, size * sizeof(Branch));
		node->size = size;
	}
	branch = &node->branches[node->count++];
	*branch = (Branch) {name, len, palloc0(sizeof(Tree))};
	return branch->node;
}

static const char *
kind_of(const Tree *node)
{
	if (node->kind == NODE_ARRAY || (node->kind == NODE_VALUE && json_is_array(&node->value)))
		return "an array";
	if (node->kind == NODE_OBJECT || node->value.type == jbvBinary)
		return "an object";
	return node->value.type == jbvString ? "a string" :
		node->value.type == jbvBool ? "a boolean" : "a number";
}

pg_noreturn static void
report_conflict(const Tree *node, const char *wanted)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("there is %s already where it needs %s", kind_of(node), wanted)));
}

/* It becomes an object, if it is not one. */
static void
become_object(MappedMaking *making, Tree *node)
{
	Tree		was = *node;

	if (node->kind == NODE_OBJECT)
		return;
	if (node->kind == NODE_ARRAY ||
		(node->kind == NODE_VALUE && node->value.type != jbvBinary && node->value.type != jbvString))
		report_conflict(node, "an object");
	memset(node, 0, sizeof(Tree));
	node->kind = NODE_OBJECT;
	if (was.kind == NODE_VALUE)
		*new_branch(making, node, NULL, 0) = was;
}

static void
become_array(MappedMaking *making, Tree *node)
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
		Tree	   *branch;

		if (token != WJB_ELEM)
			continue;
		branch = new_branch(making, node, NULL, 0);
		branch->kind = element.type == jbvNull ? NODE_ABSENT : NODE_VALUE;
		branch->value = element;
	}
}

static Tree *
member(MappedMaking *making, Tree *node, const MappingPart *part)
{
	become_object(making, node);
	for (int i = 0; i < node->count; i++)
	{
		const Branch *branch = &node->branches[i];

		if (branch->name != NULL && branch->len == part->len &&
			memcmp(branch->name, part->name, part->len) == 0)
			return branch->node;
	}
	return new_branch(making, node, part->name, part->len);
}

static Tree *
element(MappedMaking *making, Tree *node, int subscript)
{
	become_array(making, node);
	while (node->count <= subscript)
		(void) new_branch(making, node, NULL, 0);
	return node->branches[subscript].node;
}

/* ---------------------------------------------------------------------
 * Values
 * ---------------------------------------------------------------------
 */

static void
set_value(JsonbValue *value, Jsonb *found)
{
	if (JB_ROOT_IS_SCALAR(found))
		(void) JsonbExtractScalar(&found->root, value);
	else
		json_set_container(value, &found->root, VARSIZE(found) - VARHDRSZ);
}

static void
start_array(JsonbValue *array, int count)
{
	array->type = jbvArray;
	array->val.array.nElems = count;
	array->val.array.rawScalar = false;
	array->val.array.elems = palloc_extended((Size) count * sizeof(JsonbValue), MCXT_ALLOC_HUGE);
}

/* What a path finds. */
typedef struct Findings
{
	MappedMaking *making;
	bool		with_nulls;
	bool		as_text;
	Jsonb	  **items;
	int			count;
	int			size;
} Findings;

static bool
is_null(Jsonb *found)
{
	JsonbValue	value;

	set_value(&value, found);
	return value.type == jbvNull;
}

/* As a string, which most receivers' texts have to be. */
static Jsonb *
text_of(const Findings *findings, Jsonb *found)
{
	JsonbValue	value;
	JsonbValue	text;

	set_value(&value, found);
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
	Findings   *findings = arg;

	if (!findings->with_nulls && is_null(found))
		return;
	if (findings->as_text)
		found = text_of(findings, found);
	take(findings->making, VARSIZE(found) + sizeof(Jsonb *));
	if (findings->count == findings->size)
	{
		int			size = Max(8, 2 * findings->size);

		findings->items = findings->items == NULL ? palloc(size * sizeof(Jsonb *)) :
			repalloc_huge(findings->items, size * sizeof(Jsonb *));
		findings->size = size;
	}
	findings->items[findings->count++] = found;
}

static void
find(MappedMaking *making, const Mapping *mapping, int piece, Jsonb *at, bool with_nulls, Findings *findings)
{
	char	   *why = pathquery_why_not(mapping->pieces[piece], &mapping->findings[piece], at);

	memset(findings, 0, sizeof(Findings));
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

		take(list->making, (size - list->size) * sizeof(JsonbValue));
		list->array.val.array.elems = repalloc_huge(list->array.val.array.elems, size * sizeof(JsonbValue));
		list->size = size;
	}
	list->array.val.array.elems[list->array.val.array.nElems++] = *value;
}

static Jsonb *
make_list(MappedMaking *making, const Findings *findings, int flat)
{
	Gathered		list = {.making = making, .size = Max(findings->count, 1)};

	take(making, list.size * sizeof(JsonbValue));
	start_array(&list.array, list.size);
	list.array.val.array.nElems = 0;
	for (int i = 0; i < findings->count; i++)
	{
		JsonbValue	value;

		set_value(&value, findings->items[i]);
		add_element(&list, &value, flat);
	}
	return json_write(&list.array);
}

/* The list that a path ends in, at one place.  Of members, and of what is deep, arrays are dissolved. */
static Jsonb *
list_at(MappedMaking *making, const Mapping *mapping, Jsonb *at)
{
	Findings	findings;

	find(making, mapping, mapping->npieces, at, mapping->list != PATH_MEMBERS, &findings);
	return make_list(making, &findings, mapping->list == PATH_ELEMENTS ? 0 : mapping->list == PATH_MEMBERS ? 1 : 2);
}

/* A literal may go to each element of an array. */
static void
take_literal(MappedMaking *making, const JsonbValue *literal)
{
	if (literal->type == jbvString)
		take(making, literal->val.string.len);
	else if (literal->type == jbvNumeric)
		take(making, VARSIZE_ANY(literal->val.numeric));
	else if (literal->type == jbvBinary)
		take(making, literal->val.binary.len);
}

/* What was found, or an array of it; false: nothing, or null. */
static bool
evaluate(MappedMaking *making, const Mapping *mapping, int piece, Jsonb *at, JsonbValue *value)
{
	Findings	findings;
	Jsonb	   *array;

	if (mapping->npieces == 0)
	{
		*value = mapping->literal;
		take_literal(making, value);
		return value->type != jbvNull;
	}
	find(making, mapping, piece, at, false, &findings);
	if (findings.count == 0)
		return false;
	for (int i = 0; mapping->list != PATH_NO_LIST && i < findings.count; i++)
		findings.items[i] = list_at(making, mapping, findings.items[i]);
	set_value(value, findings.items[0]);
	if (findings.count == 1)
		return true;
	array = make_list(making, &findings, 0);
	json_set_container(value, &array->root, VARSIZE(array) - VARHDRSZ);
	return true;
}

/* Of those that JavaScript takes for something, the first mapping's stays, whichever comes first. */
static void
assign(Tree *node, const JsonbValue *value, int order)
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

/* An element for each that is found; of what ends there, for each that is something. */
static void
place_found(MappedMaking *making, Tree *node, int part, int piece, Jsonb *at)
{
	const Mapping *mapping = making->current;
	Findings	findings;
	int			count = 0;

	become_array(making, node);
	node->counted = true;
	find(making, mapping, piece, at, true, &findings);
	/* a null that stands there alone is none, as is one in place of a list */
	if (findings.count == 1 && is_null(findings.items[0]))
		findings.count = 0;
	for (int i = 0; i < findings.count; i++)
	{
		JsonbValue	value;

		if (part < mapping->nparts)
			place(making, element(making, node, i), part, piece + 1, findings.items[i]);
		else if (evaluate(making, mapping, piece + 1, findings.items[i], &value))
			assign(element(making, node, count++), &value, making->order);
	}
}

/* The list itself, or one of what is none, where there is nothing yet. */
static void
place_list(MappedMaking *making, Tree *node, int piece, Jsonb *at)
{
	JsonbValue	value;

	if (!evaluate(making, making->current, piece, at, &value))
		return;
	if (json_is_array(&value))
	{
		assign(node, &value, making->order);
		return;
	}
	become_array(making, node);
	assign(element(making, node, 0), &value, making->order);
}

/* With nothing to be found, each that is there, or one if nothing has said how many there are. */
static void
place_each(MappedMaking *making, Tree *node, int part, int piece, Jsonb *at)
{
	const Mapping *mapping = making->current;

	if (piece + 1 < mapping->npieces)
	{
		place_found(making, node, part, piece, at);
		return;
	}
	if (part == mapping->nparts && node->kind == NODE_ABSENT)
	{
		place_list(making, node, piece, at);
		return;
	}
	become_array(making, node);
	if (node->count == 0 && !node->counted)
		(void) element(making, node, 0);
	for (int i = 0; i < node->count; i++)
		place(making, node->branches[i].node, part, piece, at);
}

/* From a part of "to" on: what the rest of the mapping makes of a value. */
static void
place(MappedMaking *making, Tree *node, int part, int piece, Jsonb *at)
{
	const Mapping *mapping = making->current;
	const MappingPart *next = &mapping->parts[part];
	JsonbValue	value;

	CHECK_FOR_INTERRUPTS();
	if (part == mapping->nparts)
	{
		if (evaluate(making, mapping, piece, at, &value))
			assign(node, &value, making->order);
	}
	else if (next->name != NULL)
		place(making, member(making, node, next), part + 1, piece, at);
	else if (next->subscript >= 0)
		place(making, element(making, node, next->subscript), part + 1, piece, at);
	else
		place_each(making, node, part + 1, piece, at);
}

/* All of a value, among the members of the whole. */
static void
spread(MappedMaking *making, Tree *root)
{
	JsonbValue	value;
	Tree	   *branch;

	if (!evaluate(making, making->current, 0, making->event, &value))
		return;
	branch = new_branch(making, root, NULL, 0);
	branch->kind = NODE_VALUE;
	branch->value = value;
}

/* ---------------------------------------------------------------------
 * Writing
 * ---------------------------------------------------------------------
 */

#define MAX_NUMBER	sizeof("-2147483648")

static void node_value(MappedMaking *making, const Tree *node, JsonbValue *value);

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
room_for_members(MappedMaking *making, const Tree *node)
{
	Size		count = 0;

	for (int i = 0; i < node->count; i++)
	{
		const Branch *branch = &node->branches[i];
		Size		members = branch->name != NULL ? 1 : spread_count(&branch->node->value);

		if (branch->name == NULL)
			take(making, members * (sizeof(JsonbPair) + MAX_NUMBER));
		count += members;
	}
	return palloc_extended(count * sizeof(JsonbPair), MCXT_ALLOC_HUGE);
}

static void
object_value(MappedMaking *making, const Tree *node, JsonbValue *object)
{
	json_set_object(object, room_for_members(making, node), 0);
	for (int i = 0; i < node->count; i++)
	{
		const Branch *branch = &node->branches[i];
		JsonbValue	value;

		if (branch->name == NULL)
			add_spread(object, &branch->node->value, spread_count(&branch->node->value));
		else if (branch->node->kind != NODE_ABSENT)
		{
			node_value(making, branch->node, &value);
			add_member(object, branch->name, branch->len, &value);
		}
	}
	pairs_sort(object->val.object.pairs, &object->val.object.nPairs);
}

static void
node_value(MappedMaking *making, const Tree *node, JsonbValue *value)
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
			start_array(value, node->count);
			for (int i = 0; i < node->count; i++)
				node_value(making, node->branches[i].node, &value->val.array.elems[i]);
			break;
	}
}

/* How many [*] in "to" one in "from" answers, and is there one that none answers? */
static int
levels(const Mapping *mapping, bool *to_all)
{
	int			each = 0;
	int			answered = Max(mapping->npieces, 1) - 1;

	for (int i = 0; i < mapping->nparts; i++)
		each += mapping->parts[i].name == NULL && mapping->parts[i].subscript < 0;
	*to_all = each > answered;
	return answered;
}

Jsonb *
mapped_object(MappedMaking *making, const Mappings *mappings)
{
	Tree		root = {.kind = NODE_OBJECT};
	JsonbValue	object;
	int			most = 0;

	/* what goes to all elements comes when they are there: first what makes some itself */
	for (int pass = -1; pass <= most; pass++)
	{
		for (int i = 0; i < mappings->count; i++)
		{
			bool		to_all;
			int			answered = levels(&mappings->items[i], &to_all);

			if (to_all)
				most = Max(most, answered);
			if (to_all ? pass < 0 || answered != most - pass : pass >= 0)
				continue;
			making->current = &mappings->items[i];
			making->order = i;
			if (making->current->nparts == 0)
				spread(making, &root);
			else
				place(making, &root, 0, 0, making->event);
		}
	}
	making->current = NULL;
	node_value(making, &root, &object);
	return json_write(&object);
}

/* ---------------------------------------------------------------------
 * Paths
 * ---------------------------------------------------------------------
 */

/* encodeURIComponent() */
static void
append_encoded(StringInfo out, const char *text, int len, Size limit)
{
	static const char hex[] = "0123456789ABCDEF";

	if (!encoding_to_utf8(&text, &len))
		ereport(ERROR,
				(errcode(ERRCODE_CHARACTER_NOT_IN_REPERTOIRE),
				 errmsg("it is not valid UTF-8")));
	for (int i = 0; i < len; i++)
	{
		unsigned char c = text[i];
		char		code[3] = {'%', hex[c >> 4], hex[c & 15]};

		if (json_is_alnum(c) || strchr("-_.!~*'()", c) != NULL)
			json_append_bytes(out, text + i, 1, limit);
		else
			json_append_bytes(out, code, 3, limit);
	}
}

void
mapped_path(MappedMaking *making, const Mappings *parts, StringInfo out)
{
	for (int i = 0; i < parts->count; i++)
	{
		const Mapping *part = &parts->items[i];
		Findings	findings;
		JsonbValue	value = part->literal;
		JsonbValue	text;

		CHECK_FOR_INTERRUPTS();
		making->current = part;
		if (part->npieces > 0)
		{
			find(making, part, 0, making->event, true, &findings);
			value.type = jbvNull;
			if (findings.count > 0)
				set_value(&value, findings.items[0]);
		}
		if (value.type == jbvNull)
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("it is not in the event, or null")));
		js_text(&value, &text, making->limit);
		json_append_bytes(out, "/", 1, making->limit);
		append_encoded(out, text.val.string.val, text.val.string.len, making->limit);
	}
	making->current = NULL;
}
