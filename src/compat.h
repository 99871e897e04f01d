/*-------------------------------------------------------------------------
 *
 * compat.h
 *		Every difference between the PostgreSQL and libcurl versions that we
 *		build on, behind names of the newest version where there is one.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_COMPAT_H
#define RSWEBHOOK_COMPAT_H

#if PG_VERSION_NUM < 130000
#error "rswebhook needs PostgreSQL 13 or later"
#endif

#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#endif

/* 18 has a name for the magic block that carries the version, too. */
#if PG_VERSION_NUM >= 180000
#define RSWEBHOOK_MODULE_MAGIC PG_MODULE_MAGIC_EXT(.name = "rswebhook", .version = "1.0")
#else
#define RSWEBHOOK_MODULE_MAGIC PG_MODULE_MAGIC
#endif

#endif							/* RSWEBHOOK_COMPAT_H */
