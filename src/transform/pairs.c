/*-------------------------------------------------------------------------
 *
 * pairs.c
 *		The pairs of an object, to be changed and written again.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"

#include "transform/json.h"
#include "transform/pairs.h"

JsonbPair *
pairs_of(JsonbContainer *object, int more, int *npairs)
{
	Size		room = JsonContainerSize(object) + (Size) more;
	JsonbPair  *pairs = palloc_extended(room * sizeof(JsonbPair), MCXT_ALLOC_HUGE);
	JsonbIterator *it = JsonbIteratorInit(object);
	JsonbIteratorToken token;
	JsonbValue	key;

	*npairs = 0;
	while ((token = JsonbIteratorNext(&it, &key, true)) != WJB_DONE)
	{
		JsonbPair  *pair = &pairs[*npairs];

		if (token != WJB_KEY)
			continue;
		CHECK_FOR_INTERRUPTS();
		pair->key = key;
		(void) JsonbIteratorNext(&it, &pair->value, true);
		(*npairs)++;
	}
	return pairs;
}

void
pairs_put(JsonbPair *pairs, int *npairs, const char *key, const JsonbValue *value)
{
	int			key_len = strlen(key);
	int			at = *npairs;

	while (at > 0)
	{
		JsonbValue *other = &pairs[at - 1].key;
		int			cmp = json_key_cmp(other->val.string.val, other->val.string.len,
									   key, key_len);

		if (cmp == 0)
		{
			pairs[at - 1].value = *value;
			return;
		}
		if (cmp < 0)
			break;
		at--;
	}
	memmove(&pairs[at + 1], &pairs[at], (*npairs - at) * sizeof(JsonbPair));
	json_set_string(&pairs[at].key, key, key_len);
	pairs[at].value = *value;
	(*npairs)++;
}

static int
compare(const void *a, const void *b)
{
	const JsonbPair *left = a;
	const JsonbPair *right = b;
	int			cmp = json_key_cmp(left->key.val.string.val, left->key.val.string.len,
								   right->key.val.string.val, right->key.val.string.len);

	return cmp != 0 ? cmp : (left->order > right->order) - (left->order < right->order);
}

void
pairs_sort(JsonbPair *pairs, int *npairs)
{
	int			count = 0;

	qsort(pairs, *npairs, sizeof(JsonbPair), compare);
	for (int i = 0; i < *npairs; i++)
	{
		const JsonbValue *key = &pairs[i].key;

		if (count > 0 &&
			json_key_cmp(pairs[count - 1].key.val.string.val, pairs[count - 1].key.val.string.len,
						 key->val.string.val, key->val.string.len) == 0)
			count--;
		pairs[count++] = pairs[i];
	}
	*npairs = count;
}
