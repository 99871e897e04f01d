/*-------------------------------------------------------------------------
 *
 * import.c
 *		What importing has to know as the transform has it: templates, and headers that
 *		are no strings.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"

#include "base/compat.h"
#include "transform/dynamic.h"
#include "transform/json.h"

SQL_FUNCTION(rswebhook_import_template);

/* The path in the event, without the event's own name; or what is there by default. */
Datum
rswebhook_import_template(PG_FUNCTION_ARGS)
{
	static const char *const of_event[] = {"event.", "message."};
	Template	found;
	char	   *given;

	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	given = text_to_cstring(PG_GETARG_TEXT_PP(0));
	if (!dynamic_template(given, strlen(given), &found))
		PG_RETURN_NULL();
	if (PG_GETARG_BOOL(1))
		PG_RETURN_TEXT_P(cstring_to_text(dynamic_fallback(&found)));
	for (int i = 0; i < lengthof(of_event); i++)
	{
		int			len = strlen(of_event[i]);

		if (found.path_len > len && strncmp(found.path, of_event[i], len) == 0)
		{
			found.path += len;
			found.path_len -= len;
			break;
		}
	}
	PG_RETURN_TEXT_P(cstring_to_text_with_len(found.path, found.path_len));
}

SQL_FUNCTION(rswebhook_import_text);

/* A header's value, as it is sent. */
Datum
rswebhook_import_text(PG_FUNCTION_ARGS)
{
	Jsonb	   *given = PG_GETARG_JSONB_P(0);
	JsonbValue	value;
	StringInfoData text;

	if (JB_ROOT_IS_SCALAR(given))
		(void) JsonbExtractScalar(&given->root, &value);
	else
		json_set_container(&value, &given->root, VARSIZE(given) - VARHDRSZ);
	if (value.type == jbvString)
		PG_RETURN_TEXT_P(cstring_to_text_with_len(value.val.string.val, value.val.string.len));
	initStringInfo(&text);
	json_append(&text, &value, NUMBERS_EXACT, JSON_MOST_TEXT);
	PG_RETURN_TEXT_P(cstring_to_text_with_len(text.data, text.len));
}
