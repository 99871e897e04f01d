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

#include "miscadmin.h"

#include "base/encoding.h"
#include "transform/json.h"
#include "transform/mapped.h"
#include "transform/mapped_find.h"
#include "transform/mapped_tree.h"

static void place(MappedMaking *making, MappedTree *node, int part, int piece, Jsonb *at);

/* ---------------------------------------------------------------------
 * Objects
 * ---------------------------------------------------------------------
 */

/* An element for each that is found; of what ends there, for each that is something. */
static void
place_found(MappedMaking *making, MappedTree *node, int part, int piece, Jsonb *at)
{
	const Mapping *mapping = making->current;
	MappedFindings findings;
	int			count = 0;

	mapped_tree_array(making, node);
	node->counted = true;
	mapped_find(making, mapping, piece, at, true, &findings);
	/* a null that stands there alone is none, as is one in place of a list */
	if (findings.count == 1 && mapped_find_is_null(findings.items[0]))
		findings.count = 0;
	for (int i = 0; i < findings.count; i++)
	{
		JsonbValue	value;

		if (part < mapping->nparts)
			place(making, mapped_tree_element(making, node, i), part, piece + 1, findings.items[i]);
		else if (mapped_find_value(making, mapping, piece + 1, findings.items[i], &value))
			mapped_tree_assign(mapped_tree_element(making, node, count++), &value, making->order);
	}
}

/* The list itself, or one of what is none, where there is nothing yet. */
static void
place_list(MappedMaking *making, MappedTree *node, int piece, Jsonb *at)
{
	JsonbValue	value;

	if (!mapped_find_value(making, making->current, piece, at, &value))
		return;
	if (json_is_array(&value))
	{
		mapped_tree_assign(node, &value, making->order);
		return;
	}
	mapped_tree_array(making, node);
	mapped_tree_assign(mapped_tree_element(making, node, 0), &value, making->order);
}

/* With nothing to be found, each that is there, or one if nothing has said how many there are. */
static void
place_each(MappedMaking *making, MappedTree *node, int part, int piece, Jsonb *at)
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
	mapped_tree_array(making, node);
	if (node->count == 0 && !node->counted)
		(void) mapped_tree_element(making, node, 0);
	for (int i = 0; i < node->count; i++)
		place(making, node->branches[i].node, part, piece, at);
}

/* From a part of "to" on: what the rest of the mapping makes of a value. */
static void
place(MappedMaking *making, MappedTree *node, int part, int piece, Jsonb *at)
{
	const Mapping *mapping = making->current;
	const MappingPart *next = &mapping->parts[part];
	JsonbValue	value;

	CHECK_FOR_INTERRUPTS();
	if (part == mapping->nparts)
	{
		if (mapped_find_value(making, mapping, piece, at, &value))
			mapped_tree_assign(node, &value, making->order);
	}
	else if (next->name != NULL)
		place(making, mapped_tree_member(making, node, next), part + 1, piece, at);
	else if (next->subscript >= 0)
		place(making, mapped_tree_element(making, node, next->subscript), part + 1, piece, at);
	else
		place_each(making, node, part + 1, piece, at);
}

/* All of a value, among the members of the whole. */
static void
spread(MappedMaking *making, MappedTree *root)
{
	JsonbValue	value;

	if (mapped_find_value(making, making->current, 0, making->event, &value))
		mapped_tree_spread(making, root, &value);
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
	MappedTree	root = {.kind = NODE_OBJECT};
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
	mapped_tree_value(making, &root, &object);
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
		MappedFindings findings;
		JsonbValue	value = part->literal;
		JsonbValue	text;

		CHECK_FOR_INTERRUPTS();
		making->current = part;
		if (part->npieces > 0)
		{
			mapped_find(making, part, 0, making->event, true, &findings);
			value.type = jbvNull;
			if (findings.count > 0)
				mapped_find_set(&value, findings.items[0]);
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
