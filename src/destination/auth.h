/*-------------------------------------------------------------------------
 *
 * auth.h
 *		Authentication of a destination by a header that is made for it.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_AUTH_H
#define RSWEBHOOK_AUTH_H

#include "destination/fields.h"
#include "destination/problem.h"
#include "destination/values.h"

/* The auth_ columns fit together and with the headers, or a problem. */
extern bool auth_check(const DestinationFields *fields, FieldProblem *problem);

/* Of columns that passed the check. */
extern void auth_read(const DestinationFields *fields, DestinationAuth *auth);

/*
 * The value of the header, in the server encoding, for the password, token or
 * key in secret.  NULL if it cannot be made of that text.
 */
extern char *auth_header_value(const DestinationAuth *auth, const char *secret);

/*
 * Is a header that a destination sets, which has this name, one by which it
 * authenticates itself?
 */
extern bool auth_is_header(const DestinationAuth *auth, const char *name, int len);

#endif							/* RSWEBHOOK_AUTH_H */
