/*-------------------------------------------------------------------------
 *
 * as_role.h
 *		A statement of ours with another role's rights.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_AS_ROLE_H
#define RSWEBHOOK_AS_ROLE_H

#include "postgres_ext.h"

typedef struct AsRole
{
	Oid			user;			/* what it was before */
	int			context;
	int			settings;
} AsRole;

/*
 * From begin to end, in a security-restricted context, with our search_path, without row
 * security, and with no plan shown to anybody: as a worker's statements are run.  After an error no end is needed.
 */
extern void as_role_begin(AsRole *before, Oid role);
extern void as_role_end(const AsRole *before);

#endif							/* RSWEBHOOK_AS_ROLE_H */
