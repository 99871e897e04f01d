/*-------------------------------------------------------------------------
 *
 * destination_show.c
 *		What a destination makes of an event, for people.
 *
 * Secrets are shown to those who may read them in the table, and to nobody
 * else; a secret that is not in the table, to nobody at all.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "destination.h"

#include "auth.h"
#include "json.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#define MASK "***"

/* What of the table shows in a request. */
static const char *const shown_columns[] = {
	"url", "headers", "auth_username", "auth_password", "auth_token"
};

/* ---------------------------------------------------------------------
 * Configs
 * ---------------------------------------------------------------------
 */

/* The value of the header that authenticates, as far as the row knows it. */
static const char *
known_auth_value(const DestinationAuth *auth)
{
	const char *value = NULL;

	if (auth->secret->source == SECRET_LITERAL)
		value = auth_header_value(auth, auth->secret->text);
	return value != NULL ? value : MASK;
}

/* All headers of a destination, with or without their values. */
static Jsonb *
all_headers(const DestinationAuth *auth, const Jsonb *headers, bool masked)
{
	JsonbInState state = {0};
	JsonbIterator *it = JsonbIteratorInit(unconstify(JsonbContainer *, &headers->root));
	JsonbIteratorToken token;
	JsonbValue	key;
	JsonbValue	value;
	const char *text;

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	while ((token = JsonbIteratorNext(&it, &key, true)) != WJB_DONE)
	{
		if (token != WJB_KEY)
			continue;
		(void) JsonbIteratorNext(&it, &value, true);
		if (masked)
			json_set_string(&value, MASK, strlen(MASK));
		pushJsonbValue(&state, WJB_KEY, &key);
		pushJsonbValue(&state, WJB_VALUE, &value);
	}
	if (auth->header != NULL)
	{
		text = masked ? MASK : known_auth_value(auth);
		json_set_string(&key, auth->header, strlen(auth->header));
		json_set_string(&value, text, strlen(text));
		pushJsonbValue(&state, WJB_KEY, &key);
		pushJsonbValue(&state, WJB_VALUE, &value);
	}
	pushJsonbValue(&state, WJB_END_OBJECT, NULL);
	return JsonbValueToJsonb(state.result);
}

static Jsonb *
empty_object(void)
{
	JsonbInState state = {0};

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	pushJsonbValue(&state, WJB_END_OBJECT, NULL);
	return JsonbValueToJsonb(state.result);
}

void
destination_configs(Destination *dest, const Jsonb *headers)
{
	if (headers == NULL)
		headers = empty_object();
	dest->config = transform_config_from_parts(dest->url, dest->method,
											   all_headers(&dest->auth, headers, false));
	dest->masked_config = transform_config_from_parts(url_masked(dest->url), dest->method,
													  all_headers(&dest->auth, headers, true));
}

const TransformConfig *
destination_visible_config(const Destination *dest)
{
	Oid			relid = extension_relation("destination");
	Oid			user = GetUserId();

	if (pg_class_aclcheck(relid, user, ACL_SELECT) == ACLCHECK_OK)
		return dest->config;
	for (int i = 0; i < lengthof(shown_columns); i++)
	{
		AttrNumber	attnum = get_attnum(relid, shown_columns[i]);

		if (attnum == InvalidAttrNumber ||
			pg_attribute_aclcheck(relid, attnum, user, ACL_SELECT) != ACLCHECK_OK)
			return dest->masked_config;
	}
	return dest->config;
}

/* ---------------------------------------------------------------------
 * rswebhook_transform(event, target)
 * ---------------------------------------------------------------------
 */

/* What may have been meant by something that is no destination's name. */
static const char *
hint_for_target(const char *target)
{
	const char *method = method_by_name(target);

	if (target[strspn(target, " \t\r\n")] == '{')
		return "To use a configuration instead of a destination's name, cast it to jsonb.";
	if (method != NULL)
		return psprintf("Use \"%s\" for the bare request of that method.", method);
	return "Use the name of a row of rswebhook.destination, or POST, PUT, PATCH, GET or DELETE for a bare request.";
}

PG_FUNCTION_INFO_V1(rswebhook_transform_target);

Datum
rswebhook_transform_target(PG_FUNCTION_ARGS)
{
	Jsonb	   *event = PG_GETARG_JSONB_P(0);
	char	   *target = text_to_cstring(PG_GETARG_TEXT_PP(1));
	const char *method = method_by_name(target);
	const TransformConfig *config;
	Transformed transformed;

	if (method != NULL && strcmp(method, target) == 0)
		config = transform_config_from_parts(NULL, method, NULL);
	else
	{
		Destination *dest = destination_by_name(target);

		if (dest == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_OBJECT),
					 errmsg("destination \"%s\" does not exist", target),
					 errhint("%s", hint_for_target(target))));
		if (dest->problem != NULL)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("destination \"%s\" cannot be used", target),
					 errdetail_internal("%s", dest->problem),
					 errhint("Correct the row of rswebhook.destination.")));
		config = destination_visible_config(dest);
	}

	transform_event(event, config, JSON_MOST_TEXT, &transformed);
	PG_RETURN_JSONB_P(request_to_jsonb(&transformed));
}
