/*-------------------------------------------------------------------------
 *
 * allow.h
 *		What an event may not do with a destination.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_ALLOW_H
#define RSWEBHOOK_ALLOW_H

#include "destination/values.h"
#include "transform/values.h"

/*
 * May an event go where it wants to, with the headers that it brings?  False with *why, in
 * one line without a secret.  Its host becomes ASCII.
 */
extern bool allow_event(Transformed *transformed, const Destination *destination, char **why);

#endif							/* RSWEBHOOK_ALLOW_H */
