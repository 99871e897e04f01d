/*-------------------------------------------------------------------------
 *
 * nearest.h
 *		What may have been meant by a name that there is not.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_NEAREST_H
#define RSWEBHOOK_NEAREST_H

/*
 * Are two names the same but for the case of ASCII letters and a few slips of the pen,
 * fewer in short ones?  How many of these, from 0 on, or -1.
 */
extern int	nearest_distance(const char *name, const char *other);

/* A hint for who has named a destination that there is not, which ends with otherwise. */
#define NEAREST_OTHERWISE	"Destinations are rows of rswebhook.destination."

extern const char *nearest_destination_hint(const char *name, const char *otherwise);

#endif							/* RSWEBHOOK_NEAREST_H */
