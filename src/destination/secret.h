/*-------------------------------------------------------------------------
 *
 * secret.h
 *		Values that are secret, and where they come from.
 *
 * A secret is in the row itself, or the row names where it is: an environment
 * variable of the server, or a file on its machine.  In JSON that is an object
 * with one key, {"env": "NAME"} or {"file": "/path"}; in a text column the
 * text of such an object, or RudderStack's env.NAME.  Sources are read when an attempt is made, and only
 * as far as rswebhook.secret_sources permits.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_SECRET_H
#define RSWEBHOOK_SECRET_H

#include "utils/jsonb.h"

extern char *rswebhook_secret_sources;	/* setting */

typedef enum SecretSource
{
	SECRET_LITERAL,
	SECRET_ENV,
	SECRET_FILE
} SecretSource;

typedef struct Secret
{
	SecretSource source;
	char	   *text;			/* the value, or what names it */
} Secret;

/*
 * In the current memory context.  NULL with *problem, a sentence without the
 * value, if what is given means to name a source but does not.
 */
extern Secret *secret_from_text(const char *text, const char **problem);

/* Likewise of a string or an object; *problem is set for all other values. */
extern Secret *secret_from_json(const JsonbValue *value, const char **problem);

/* Is a text RudderStack's env.NAME?  It becomes the name then. */
extern bool secret_in_environment(const char **text, int *len);

/*
 * The value, which is text in the server encoding.  NULL with *why, one line
 * that names the source, if it is not to be had now.
 */
extern char *secret_value(const Secret *secret, char **why);

/* May its source be read? */
extern bool secret_permitted(const Secret *secret);

/* For people: environment variable "NAME", file "/path". */
extern char *secret_describe(const Secret *secret);

/* NULL, or a sentence that says why it cannot be rswebhook.secret_sources. */
extern char *secret_sources_problem(const char *list);

#endif							/* RSWEBHOOK_SECRET_H */
