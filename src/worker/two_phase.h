/*-------------------------------------------------------------------------
 *
 * two_phase.h
 *		COMMIT PREPARED of what nothing is known of.
 *
 * Of a transaction that was prepared before the server's start, or when there was
 * no room (shmem/prepared.h), its locks say whether it concerns us.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_TWO_PHASE_H
#define RSWEBHOOK_TWO_PHASE_H

/* What there is to tell of such a transaction once it is committed. */
typedef struct Unknown
{
	bool		asked;			/* it may be one that concerns us */
	bool		had_extension;
	bool		changed;
	bool		queued;
} Unknown;

/*
 * COMMIT PREPARED is about to be run, and was.  Of what was prepared since the
 * server's start it is known what it has to tell, which may be nothing.
 */
extern void two_phase_before_commit(const char *gid, Unknown *unknown);
extern void two_phase_after_commit(const char *gid, const Unknown *unknown);

#endif							/* RSWEBHOOK_TWO_PHASE_H */
