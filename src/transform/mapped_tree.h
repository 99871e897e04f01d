/*-------------------------------------------------------------------------
 *
 * mapped_tree.h
 *		The tree that mappings become, and what is written of it.
 *
 * An object literal of JavaScript, whose leaves point into what was found.  What does not
 * go together is an error of the class of data exceptions.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_MAPPED_TREE_H
#define RSWEBHOOK_MAPPED_TREE_H

#include "transform/mapped_making.h"

typedef enum NodeKind
{
	NODE_ABSENT,
	NODE_VALUE,
	NODE_OBJECT,
	NODE_ARRAY
} NodeKind;

typedef struct MappedTree MappedTree;

/* A member of an object, or all of a value's there. */
typedef struct MappedBranch
{
	const char *name;			/* NULL, for an object: a value that is spread */
	int			len;
	MappedTree *node;
} MappedBranch;

struct MappedTree
{
	NodeKind	kind;
	bool		counted;		/* a NODE_ARRAY has an element for each that was found */
	int			order;			/* which mapping a NODE_VALUE is of */
	JsonbValue	value;			/* of a NODE_VALUE */
	MappedBranch *branches;
	int			count;
	int			size;
};

/* What a node has by a name, or as an element; it becomes an object, or an array, for that. */
extern MappedTree *mapped_tree_member(MappedMaking *making, MappedTree *node, const MappingPart *part);
extern MappedTree *mapped_tree_element(MappedMaking *making, MappedTree *node, int subscript);

/* It becomes an array, if it is not one. */
extern void mapped_tree_array(MappedMaking *making, MappedTree *node);

/* Of values that JavaScript takes for something, the first mapping's stays, whichever comes first. */
extern void mapped_tree_assign(MappedTree *node, const JsonbValue *value, int order);

/* All of a value, among the members of an object. */
extern void mapped_tree_spread(MappedMaking *making, MappedTree *root, const JsonbValue *value);

/* All of it, as a value that points into it. */
extern void mapped_tree_value(MappedMaking *making, const MappedTree *node, JsonbValue *value);

#endif							/* RSWEBHOOK_MAPPED_TREE_H */
