/*-------------------------------------------------------------------------
 *
 * object.h
 *		A JSON object in the making, whose keys are known beforehand.
 *
 * pushJsonbValue() sorts the keys of each object and has its pairs twice in memory on
 * the way.  Here they are added in the order in which jsonb has them (shorter keys
 * first, then by their bytes), each once, so that JsonbValueToJsonb() writes them as
 * they are.  Keys and strings are not copied.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_OBJECT_H
#define RSWEBHOOK_OBJECT_H

#include "utils/jsonb.h"

/* *object becomes an empty one, in the current memory context. */
static inline void
object_begin(JsonbValue *object, int max_pairs)
{
	object->type = jbvObject;
	object->val.object.nPairs = 0;
	object->val.object.pairs = palloc(Max(max_pairs, 1) * sizeof(JsonbPair));
}

/* Adds a key; the caller fills in its value, which is returned. */
static inline JsonbValue *
object_add(JsonbValue *object, const char *key, int len)
{
	JsonbPair  *pair = &object->val.object.pairs[object->val.object.nPairs++];

	Assert(pair == object->val.object.pairs || pair[-1].key.val.string.len < len ||
		   (pair[-1].key.val.string.len == len && memcmp(pair[-1].key.val.string.val, key, len) < 0));
	pair->key.type = jbvString;
	pair->key.val.string.val = unconstify(char *, key);
	pair->key.val.string.len = len;
	return &pair->value;
}

static inline void
object_set_string(JsonbValue *value, const char *string, int len)
{
	value->type = jbvString;
	value->val.string.val = unconstify(char *, string);
	value->val.string.len = len;
}

/* A document as a value, in the current memory context as well. */
extern void object_set_jsonb(JsonbValue *value, Jsonb *jsonb);

#endif							/* RSWEBHOOK_OBJECT_H */
