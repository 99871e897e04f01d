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

/*
 * At each [*] (with the conditions behind it), but at most so many, the path is cut: what
 * follows is asked of each value that was found up to there.  Returns the pieces, or NULL
 * if it does not even begin as one.  *forgiving: it has a "..", which in PostgreSQL's lax mode finds
 * what is in an array twice.  So it is strict, and what is not there is no error.
 */
extern char **mapping_path_pieces(const char *from, int most_cuts, int *npieces,
								  bool *forgiving);

#endif							/* RSWEBHOOK_MAPPING_PATH_H */
