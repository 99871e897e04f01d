/*-------------------------------------------------------------------------
 *
 * turns.h
 *		Turns that a database's workers take with a destination.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_TURNS_H
#define RSWEBHOOK_TURNS_H

/*
 * Turns of this database's workers, of which a destination allows so many; see
 * Turns in schedule.h.
 */
extern bool turns_take(int32 destination_id, int most);
extern bool turns_leave(int32 destination_id);
extern void turns_withdraw(int32 destination_id);

#endif							/* RSWEBHOOK_TURNS_H */
