/*-------------------------------------------------------------------------
 *
 * worker.h
 *		The worker: what it may have in flight.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_WORKER_H
#define RSWEBHOOK_WORKER_H

/* settings */
extern int	rswebhook_max_in_flight;	/* requests of a worker, all destinations
										 * that answer together */
extern int	rswebhook_max_in_flight_size;	/* kB of their events */
extern int	rswebhook_connection_lifetime;	/* ms */

#endif							/* RSWEBHOOK_WORKER_H */
