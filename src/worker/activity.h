/*-------------------------------------------------------------------------
 *
 * activity.h
 *		The requests in flight, for whoever asks.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_ACTIVITY_H
#define RSWEBHOOK_ACTIVITY_H

/* Once a cycle: answer, if anybody has asked. */
extern void activity_answer(void);

#endif							/* RSWEBHOOK_ACTIVITY_H */
