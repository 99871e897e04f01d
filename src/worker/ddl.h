/*-------------------------------------------------------------------------
 *
 * ddl.h
 *		Commands that concern a worker: the hooks that see them.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_DDL_H
#define RSWEBHOOK_DDL_H

/* While preloading. */
extern void ddl_install_hooks(void);

#endif							/* RSWEBHOOK_DDL_H */
