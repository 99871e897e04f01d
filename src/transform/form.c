/*-------------------------------------------------------------------------
 *
 * form.c
 *		A body as a form: the members of an object, with a text for each.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"

#include "base/encoding.h"
#include "transform/flatten.h"
#include "transform/form.h"
#include "transform/json.h"
#include "transform/url.h"

void
form_fields(const JsonbValue *object, Size limit, NamedValues *fields)
{
	JsonbIterator *it = JsonbIteratorInit(object->val.binary.data);
	JsonbIteratorToken token;
	JsonbValue	name;
	JsonbValue	value;
	StringInfoData text;

	fields->limit = limit;
	initStringInfo(&text);
	while ((token = JsonbIteratorNext(&it, &name, true)) != WJB_DONE)
	{
		if (token != WJB_KEY)
			continue;
		CHECK_FOR_INTERRUPTS();
		(void) JsonbIteratorNext(&it, &value, true);
		if (value.type != jbvString)
		{
			resetStringInfo(&text);
			json_append(&text, &value, NUMBERS_JS, limit);
			fields->bytes += text.len;
			json_set_string(&value, pnstrdup(text.data, text.len), text.len);
		}
		named_values_add(fields, name.val.string.val, name.val.string.len, &value);
	}
	pfree(text.data);
}

static int
name_cmp(const void *a, const void *b)
{
	const NamedValue *left = a;
	const NamedValue *right = b;
	int			cmp = memcmp(left->name, right->name, Min(left->name_len, right->name_len));

	return cmp != 0 ? cmp : left->name_len - right->name_len;
}

static bool
append_encoded(StringInfo out, const char *text, int len, Size limit)
{
	if (!encoding_to_utf8(&text, &len))
		return false;
	if (out->len + (Size) len > limit)
		json_too_large(limit);
	url_form_encode(out, text, len);
	if (out->len > limit)
		json_too_large(limit);
	return true;
}

const char *
form_append(StringInfo out, const NamedValues *fields, Size limit)
{
	NamedValue *sorted = palloc_extended(Max(fields->count, 1) * sizeof(NamedValue), MCXT_ALLOC_HUGE);

	memcpy(sorted, fields->items, fields->count * sizeof(NamedValue));
	qsort(sorted, fields->count, sizeof(NamedValue), name_cmp);
	for (int i = 0; i < fields->count; i++)
	{
		const JsonbValue *value = &sorted[i].value;
		bool		good;

		CHECK_FOR_INTERRUPTS();
		if (i > 0)
			appendStringInfoChar(out, '&');
		good = append_encoded(out, sorted[i].name, sorted[i].name_len, limit);
		appendStringInfoChar(out, '=');
		if (!good || !append_encoded(out, value->val.string.val, value->val.string.len, limit))
			return "a field of the form is not valid UTF-8";
	}
	pfree(sorted);
	return NULL;
}
