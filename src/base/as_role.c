/*-------------------------------------------------------------------------
 *
 * as_role.c
 *		A statement of ours with another role's rights.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/guc.h"

#include "base/as_role.h"

static void
set_for_now(const char *name, const char *value)
{
	(void) set_config_option(name, value, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
}

void
as_role_begin(AsRole *before, Oid role)
{
	before->settings = NewGUCNestLevel();
	GetUserIdAndSecContext(&before->user, &before->context);
	SetUserIdAndSecContext(role, before->context | SECURITY_LOCAL_USERID_CHANGE |
						   SECURITY_RESTRICTED_OPERATION);
	set_for_now("search_path", "pg_catalog, pg_temp");
	set_for_now("row_security", "off");

	/* a plan has the values, for the eyes of whoever set this */
	if (Debug_print_plan)
		set_for_now("debug_print_plan", "off");
	if (Debug_print_rewritten)
		set_for_now("debug_print_rewritten", "off");
	if (Debug_print_parse)
		set_for_now("debug_print_parse", "off");
}

void
as_role_end(const AsRole *before)
{
	AtEOXact_GUC(false, before->settings);
	SetUserIdAndSecContext(before->user, before->context);
}
