/*-------------------------------------------------------------------------
 *
 * mapping.h
 *		What goes where: {to, from} of headers, a query and a body, and the parts of
 *		a path.
 *
 * As RudderStack's HTTP destination has it.  "from" is a literal or a jsonpath, "to" a path
 * of names and subscripts.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_MAPPING_H
#define RSWEBHOOK_MAPPING_H

#include "base/pack.h"
#include "transform/mapping_path.h"
#include "transform/pathquery.h"
#include "utils/jsonb.h"

#define MAX_MAPPINGS			200
#define MAX_MAPPING_TO			1024	/* bytes */
#define MAX_MAPPING_FROM		8192
#define MAX_MAPPING_PARTS		32
#define MAX_MAPPING_SUBSCRIPT	999

/* Which list of a destination a mapping is in. */
typedef enum MappingList
{
	MAPPING_HEADERS,
	MAPPING_QUERY,
	MAPPING_PATH,
	MAPPING_BODY
} MappingList;

#define MAPPING_LISTS	(MAPPING_BODY + 1)

/* A name, or the subscript of an element. */
typedef struct MappingPart
{
	const char *name;			/* NULL: an element */
	int			len;
	int			subscript;		/* -1: each of them */
} MappingPart;

typedef struct Mapping
{
	char	   *to;				/* as it was written; NULL: a part of a path */
	char	   *from;			/* likewise; NULL: what a template was replaced by */
	MappingPart *parts;			/* of to; none: all of it */
	int			nparts;
	JsonPath  **pieces;			/* of from; each is asked of what the one before it has found */
	PathFindings *findings;		/* of each */
	int			npieces;		/* 0: a literal */
	PathList	list;			/* what a piece behind those makes of each that is found */
	bool		forgiving;		/* an error in one counts as nothing */
	bool		as_text;		/* what the last one finds becomes a string */
	JsonbValue	literal;
	bool		by_event;		/* which a template was replaced by */
} Mapping;

typedef struct Mappings
{
	Mapping    *items;			/* NULL: there are none, not even an empty list */
	int			count;
	bool		takes_time;		/* a path may: it is asked within bounds */
} Mappings;

/* What is wrong with an item of a list. */
typedef struct MappingProblem
{
	int			position;		/* from 1; 0: with the list itself */
	const char *detail;			/* a clause, which quotes no literal */
	const char *hint;			/* a sentence, or NULL */
} MappingProblem;

/*
 * Read a list.  templates: what its strings were made of, or NULL.  A list that is null is
 * none.  False with *problem, which is not settled otherwise.  Points into the list.
 */
extern bool mapping_read_list(const JsonbValue *list, const JsonbValue *templates,
							  MappingList which, Mappings *mappings,
							  MappingProblem *problem);

/* All of its pieces. */
static inline int
mapping_npieces(const Mapping *mapping)
{
	return mapping->npieces + (mapping->list != PATH_NO_LIST);
}

/* The one name that "to" is; NULL: it is more, or none. */
extern const MappingPart *mapping_header(const Mapping *mapping);

/* Is a string, as "from", no path?  Of one that is neither, it is. */
extern bool mapping_is_literal(const JsonbValue *from);

/* to: a copy of them, whose items are put elsewhere. */
extern void mapping_pack(Packing *packing, Mappings *to, const Mappings *mappings);

#endif							/* RSWEBHOOK_MAPPING_H */
