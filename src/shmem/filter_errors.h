/*-------------------------------------------------------------------------
 *
 * filter_errors.h
 *		What went wrong in destinations' filters: senders note it, rswebhook.status
 *		shows it.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_FILTER_ERRORS_H
#define RSWEBHOOK_FILTER_ERRORS_H

/* Without shared memory, nothing.  The message is cut if it is long. */
extern void filter_errors_note(int32 destination_id, const char *message);

/* ---- shmem.c ---- */

extern Size filter_errors_size(void);
extern void filter_errors_startup(void);

#endif							/* RSWEBHOOK_FILTER_ERRORS_H */
