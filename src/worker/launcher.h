/*-------------------------------------------------------------------------
 *
 * launcher.h
 *		The two kinds of processes, as the module entry registers them.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_LAUNCHER_H
#define RSWEBHOOK_LAUNCHER_H

#include "base/compat.h"

/* What a worker is handed, in its bgw_extra. */
typedef struct WorkerArgs
{
	Oid			database;
	int			slot;
	uint32		generation;		/* of the slot */
} WorkerArgs;

extern void launcher_register(void);

extern PGDLLEXPORT void rswebhook_launcher_main(Datum arg);
extern PGDLLEXPORT void rswebhook_worker_main(Datum arg);

#endif							/* RSWEBHOOK_LAUNCHER_H */
