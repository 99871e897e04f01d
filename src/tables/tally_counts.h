/*-------------------------------------------------------------------------
 *
 * tally_counts.h
 *		The numbers of a tally.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_TALLY_COUNTS_H
#define RSWEBHOOK_TALLY_COUNTS_H

#include "datatype/timestamp.h"

/*
 * What an event came to: delivered, as the bucket of how long that took; or one of
 * these.  The first four are counted of late as well.
 */
#define TALLY_RETRIED	(-1)
#define TALLY_ABORTED	(-2)
#define TALLY_CANCELLED	(-3)
#define TALLY_REFUSED	(-4)
#define TALLY_EXPIRED	(-5)	/* and counts as aborted, too */
#define TALLY_SUNK		(-6)

/* Columns: deliveries are 0, and what is negative is its opposite. */
#define TALLY_EVER		7
#define TALLY_LATELY	5

/*
 * The first bucket is of up to TALLY_SHORTEST_US, two further on they are twice as
 * long, and what is longer than the last is in the last.
 */
#define TALLY_BUCKETS		48
#define TALLY_SHORTEST_US	100

/* So many numbers. */
#define TALLY_COUNTS		398

/* The bucket of a delivery that took so long. */
extern int	tally_bucket(int64 duration_us);

/* n events came to this then. */
extern void tally_add(int64 *counts, TimestampTz now, TimestampTz at, int what, int64 n);

/* How many did in the last minute (0), hour (1) or day (2), and up to a twelfth more? */
extern int64 tally_lately(const int64 *counts, int window, int column, TimestampTz now);

/* How many deliveries of the last hour, and up to half an hour more, are in this bucket? */
extern int64 tally_latency(const int64 *counts, int bucket, TimestampTz now);

/*
 * How long did this part of the deliveries of the last hour, and up to half an hour
 * more, take at the most, in ms?  Negative: there were none.
 */
extern double tally_quantile(const int64 *counts, double part, TimestampTz now);

#endif							/* RSWEBHOOK_TALLY_COUNTS_H */
