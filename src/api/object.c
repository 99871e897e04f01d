/*-------------------------------------------------------------------------
 *
 * object.c
 *		A JSON object in the making, whose keys are known beforehand.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "api/object.h"
#include "base/compat.h"

/*
 * JsonbValueToJsonb() takes no value that is still in its binary form, which
 * pushJsonbValue() takes apart; the scalar in a document that is one, too.
 */
void
object_set_jsonb(JsonbValue *value, Jsonb *jsonb)
{
	JsonbInState state = {0};
	JsonbValue	binary = {.type = jbvBinary};

	binary.val.binary.data = &jsonb->root;
	binary.val.binary.len = VARSIZE(jsonb) - VARHDRSZ;
	pushJsonbValue(&state, WJB_BEGIN_ARRAY, NULL);
	pushJsonbValue(&state, WJB_ELEM, &binary);
	pushJsonbValue(&state, WJB_END_ARRAY, NULL);
	*value = state.result->val.array.elems[0];
}
