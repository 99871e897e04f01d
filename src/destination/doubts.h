/*-------------------------------------------------------------------------
 *
 * doubts.h
 *		What a row of rswebhook.destination may have, but is hardly meant to.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_DOUBTS_H
#define RSWEBHOOK_DOUBTS_H

#include "destination/fields.h"

/*
 * A WARNING of each, unless it was in the row before (NULL: there was none that could
 * be read).  None has a secret.
 */
extern void doubts_warn(const DestinationFields *fields, const DestinationFields *before);

#endif							/* RSWEBHOOK_DOUBTS_H */
