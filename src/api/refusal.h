/*-------------------------------------------------------------------------
 *
 * refusal.h
 *		Why something is not sent: an error of its sender, or what a trigger warns of.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_REFUSAL_H
#define RSWEBHOOK_REFUSAL_H

typedef struct Refusal
{
	int			sqlerrcode;
	const char *message;
	const char *detail;			/* a sentence, or NULL */
	const char *hint;			/* likewise */
	const char *value;			/* of the row, that the message quotes; NULL: none */
	bool		detail_quotes;	/* the detail may quote a value of the row */
	bool		caught;			/* an error's, which may quote anything of the row */
	bool		hidden;			/* from whoever is told: which destination */
	bool		denied;			/* that it may be sent there */
	bool		nameless;		/* there is no destination of that name, which not everybody hears */
	bool		not_enriched;	/* the event that is kept lacks what it was to be sent with */
} Refusal;

/* For the rules: take note, and return false. */
extern bool refusal_set(Refusal *refusal, int sqlerrcode, const char *message, const char *detail,
				   const char *hint);

/* Likewise, of a message that quotes a value of the row, which is not everybody's. */
extern bool refusal_set_quoting(Refusal *refusal, int sqlerrcode, const char *message, const char *value,
								const char *detail, const char *hint);

/* A name in quotes, in which those of its own are doubled. */
extern char *refusal_quoted(const char *name);

/* As an error, or at another level; where: a line of context, or NULL. */
extern void refusal_report(const Refusal *refusal, int elevel, const char *where);

#endif							/* RSWEBHOOK_REFUSAL_H */
