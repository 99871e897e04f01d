/*-------------------------------------------------------------------------
 *
 * shmem.h
 *		Shared memory as a whole: asked for, and set up.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_SHMEM_H
#define RSWEBHOOK_SHMEM_H

/* From _PG_init while preloading. */
extern void shmem_init(void);

#endif							/* RSWEBHOOK_SHMEM_H */
