/*-------------------------------------------------------------------------
 *
 * pairs.h
 *		The pairs of an object, to be changed and written again.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_PAIRS_H
#define RSWEBHOOK_PAIRS_H

#include "utils/jsonb.h"

/* An object's, which they point into, with room for so many more. */
extern JsonbPair *pairs_of(JsonbContainer *object, int more, int *npairs);

/* Replaces a key's value, or inserts the key where jsonb has it. */
extern void pairs_put(JsonbPair *pairs, int *npairs, const char *key, const JsonbValue *value);

/* As jsonb has them; of those with one key, the one with the highest order stays. */
extern void pairs_sort(JsonbPair *pairs, int *npairs);

#endif							/* RSWEBHOOK_PAIRS_H */
