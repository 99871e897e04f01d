/*-------------------------------------------------------------------------
 *
 * mapping_path.h
 *		JSONPath as RudderStack's users write it, as PostgreSQL's jsonpath.
 *
 * PostgreSQL's own is taken as it is; the other one's "..name", ['name'], [?(...)],
 * [-1], [0:2], .length(), === and text in single quotes become what is meant by them.
 * Whether that is a path, PostgreSQL says.  Pure.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_MAPPING_PATH_H
#define RSWEBHOOK_MAPPING_PATH_H

/* Is a "from" one?  What has no such sign is a literal. */
extern bool mapping_is_path(const char *from);

/* What the last step of a path finds, which is a list however many there are of it. */
typedef enum PathList
{
	PATH_NO_LIST,				/* it has no such step */
	PATH_ELEMENTS,				/* [*], [1:], [0,1] */
	PATH_MEMBERS,				/* .* */
	PATH_DEEP					/* ..name */
} PathList;

/* A path, in pieces. */
typedef struct PathPieces
{
	char	  **pieces;			/* that of the list behind the others */
	int			count;			/* of them all */
	PathList	list;
	bool		forgiving;		/* what is not there is no error */
	bool		as_text;		/* it ended in .string(), which PostgreSQL has from 17 on */
} PathPieces;

/*
 * At each [*] (with the conditions behind it), but at most so many, the path is cut: what
 * follows is asked of each value that was found up to there.  So it is before a list at its
 * end, if those are wanted.  False if it does not even begin as a path.  A piece with a ".."
 * finds what is in an array twice in PostgreSQL's lax mode: so it is strict, and forgiving.
 */
extern bool mapping_path_pieces(const char *from, int most_cuts, bool with_list,
								PathPieces *path);

#endif							/* RSWEBHOOK_MAPPING_PATH_H */
