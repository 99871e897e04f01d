/*-------------------------------------------------------------------------
 *
 * clock_file.h
 *		The eras of the wall's clock, in a file that outlasts shared memory.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_CLOCK_FILE_H
#define RSWEBHOOK_CLOCK_FILE_H

#include "base/values.h"

/* Of more, the first ones become one. */
#define MAX_ERAS	16

typedef struct Era
{
	int64		offset;			/* from the steady clock to the wall's */
	Instant		since;			/* at the earliest */
	Instant		until;			/* at the latest */
} Era;

typedef struct Eras
{
	int			count;			/* the last one is the present one */
	Instant		looked_at;		/* then it was so for certain */
	Era			eras[MAX_ERAS];
} Eras;

typedef enum ClockFile
{
	CLOCK_FILE_NONE,			/* or none that makes sense, which is logged */
	CLOCK_FILE_THIS_BOOT,		/* its instants are ours */
	CLOCK_FILE_OTHER_BOOT		/* they count from another zero, or may */
} ClockFile;

extern ClockFile clock_file_read(Eras *known, Instant now);

/* That it cannot be written is logged, and no error. */
extern void clock_file_write(const Eras *known);

#endif							/* RSWEBHOOK_CLOCK_FILE_H */
