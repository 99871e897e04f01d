/*-------------------------------------------------------------------------
 *
 * home.h
 *		Is this the database that delivers, or a copy of it?  See rswebhook.home in
 *		rswebhook--1.0.sql.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_HOME_H
#define RSWEBHOOK_HOME_H

typedef enum Home
{
	HOME_UNKNOWN,				/* nothing was sent yet */
	HOME_HERE,
	HOME_HERE_SO_FAR,			/* by this transaction, which may be rolled back */
	HOME_ELSEWHERE
} Home;

/* setting: do the workers deliver what is queued, or only record that they would have? */
typedef enum Delivery
{
	DELIVERY_OFF,
	DELIVERY_ON,
	DELIVERY_SINK
} Delivery;

extern int	rswebhook_enabled;	/* a Delivery */

/* As the table has it by now, whatever the snapshot. */
extern Home home_look(void);

/* Say, at this level of the log, that nothing is delivered from here, and why. */
extern void home_report_elsewhere(int level);

#endif							/* RSWEBHOOK_HOME_H */
