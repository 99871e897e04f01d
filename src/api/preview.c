/*-------------------------------------------------------------------------
 *
 * preview.c
 *		What becomes of an event, for people: rswebhook_transform() and
 *		rswebhook.wire().
 *
 * Secrets are shown to those who may read them in the table, and to nobody
 * else; a secret that is not in the table, to nobody at all.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_namespace.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rls.h"

#include "base/clock.h"
#include "base/compat.h"
#include "base/encoding.h"
#include "destination/allow.h"
#include "destination/auth.h"
#include "destination/check.h"
#include "destination/named.h"
#include "destination/nearest.h"
#include "destination/sign.h"
#include "destination/values.h"
#include "tables/tables.h"
#include "transform/config.h"
#include "transform/json.h"
#include "transform/request.h"
#include "transform/transform.h"
#include "transform/url.h"
#include "transform/values.h"

/* What of the table shows in a request. */
static const char *const shown_columns[] = {
	"url", "headers", "auth_username", "auth_password", "auth_token",
	"header_mapping", "query_mapping", "body_mapping"
};

static bool
may_read_columns(Oid relid, Oid user)
{
	if (!may_use_schema(get_rel_namespace(relid), user))
		return false;
	if (pg_class_aclcheck(relid, user, ACL_SELECT) == ACLCHECK_OK)
		return true;
	for (int i = 0; i < lengthof(shown_columns); i++)
	{
		AttrNumber	attnum = get_attnum(relid, shown_columns[i]);

		if (attnum == InvalidAttrNumber ||
			pg_attribute_aclcheck(relid, attnum, user, ACL_SELECT) != ACLCHECK_OK)
			return false;
	}
	return true;
}

/* Do the policies of row-level security, if there are any, show it to the user? */
static bool
may_read_row(Oid relid, Oid user, int32 id)
{
	Oid			type = INT4OID;
	Datum		value = Int32GetDatum(id);
	bool		found;

	if (check_enable_rls(relid, user, true) != RLS_ENABLED)
		return true;
	if (pg_attribute_aclcheck(relid, get_attnum(relid, "id"), user, ACL_SELECT) != ACLCHECK_OK &&
		pg_class_aclcheck(relid, user, ACL_SELECT) != ACLCHECK_OK)
		return false;
	SPI_connect();
	if (SPI_execute_with_args("SELECT FROM rswebhook.destination"
							  " WHERE id OPERATOR(pg_catalog.=) $1",
							  1, &type, &value, NULL, true, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read rswebhook.destination");
	found = SPI_processed > 0;
	SPI_finish();
	return found;
}

/* What the current user may see of it. */
static const TransformConfig *
visible_config(const Destination *dest)
{
	Oid			relid = tables_relation("destination");
	Oid			user = GetUserId();

	return may_read_columns(relid, user) && may_read_row(relid, user, dest->id) ?
		dest->config : dest->masked_config;
}

static const Destination *
usable_destination(const char *name, const char *hint)
{
	const Destination *dest = destination_by_name(name);

	if (dest == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("destination \"%s\" does not exist",
						encoding_quotable(name, strlen(name))),
				 errhint("%s", hint)));
	if (dest->problem != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("destination \"%s\" cannot be used", name),
				 errdetail_internal("%s", dest->problem),
				 errhint("Correct the row of rswebhook.destination.")));
	return dest;
}

static bool
is_config(const char *target)
{
	return target[strspn(target, " \t\r\n")] == '{';
}

#define CONFIG_HINT	"To use a configuration instead of a destination's name, cast it to jsonb."

/* What may have been meant by something that is no destination's name. */
static const char *
hint_for_target(const char *target)
{
	const char *method = config_method(target);

	if (is_config(target))
		return CONFIG_HINT;
	if (method != NULL)
		return psprintf("Use \"%s\" for the bare request of that method.", method);
	return nearest_destination_hint(target, "Use the name of a row of rswebhook.destination, or "
									METHODS_IN_WORDS " for a bare request.");
}

SQL_FUNCTION(rswebhook_transform_target);

Datum
rswebhook_transform_target(PG_FUNCTION_ARGS)
{
	Jsonb	   *event = PG_GETARG_JSONB_P(0);
	char	   *target = text_to_cstring(PG_GETARG_TEXT_PP(1));
	const char *method = config_method(target);
	bool		for_destination = method == NULL || strcmp(method, target) != 0;
	const TransformConfig *config;
	Transformed transformed;

	if (!for_destination)
		config = transform_config_from_parts(NULL, method, NULL, NULL);
	else
	{
		config = visible_config(usable_destination(target, hint_for_target(target)));
	}

	transform_event(event, config, JSON_MOST_TEXT, &transformed);
	transform_check(&transformed);

	/* as it is sent; what cannot be is shown as it is */
	if (for_destination && !transformed.passthrough)
		(void) url_endpoint_problem(&transformed.endpoint);
	PG_RETURN_JSONB_P(request_to_jsonb(&transformed));
}

SQL_FUNCTION(rswebhook_transform_config);

Datum
rswebhook_transform_config(PG_FUNCTION_ARGS)
{
	Jsonb	   *event = PG_GETARG_JSONB_P(0);
	Jsonb	   *config = PG_GETARG_JSONB_P(1);
	Transformed transformed;

	transform_event(event, transform_config_from_jsonb(config), JSON_MOST_TEXT,
					&transformed);
	transform_check(&transformed);
	PG_RETURN_JSONB_P(request_to_jsonb(&transformed));
}

pg_noreturn static void
report_unsendable(const char *why)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("request cannot be sent: %s", why)));
}

SQL_FUNCTION(rswebhook_wire);

/* rswebhook.wire(event, config): what would go over the wire, for people. */
Datum
rswebhook_wire(PG_FUNCTION_ARGS)
{
	Jsonb	   *event = PG_GETARG_JSONB_P(0);
	Jsonb	   *config = PG_GETARG_JSONB_P(1);
	Transformed transformed;
	WireRequest wire;
	char	   *why;

	transform_event(event, transform_config_from_jsonb(config),
					rswebhook_max_request_size, &transformed);
	transform_check(&transformed);
	if (!request_to_wire(&transformed, &wire, &why))
		report_unsendable(why);
	PG_RETURN_JSONB_P(request_wire_to_jsonb(&wire));
}

/* Where a secret is, is not what is sent. */
static void
mask_sources(Transformed *transformed)
{
	for (int i = 0; i < transformed->nconfigured; i++)
	{
		NamedValue *header = &transformed->headers.items[i];

		if (header->value.type == jbvBinary && !header->valued_by_event)
			json_set_string(&header->value, SHOWN_MASK, strlen(SHOWN_MASK));
	}
}

/* What identifies and signs it; an id of ours is only known of what is stored. */
static void
add_own_headers(WireRequest *wire, Jsonb *event, const Destination *dest)
{
	char	   *id = sign_message_id(event);

	request_add_header(wire, "webhook-id", id != NULL ? id : SIGN_OWN_ID_PREFIX SHOWN_MASK);
	if (dest->nsigning_secrets == 0)
		return;
	request_add_header(wire, "webhook-timestamp",
					   psprintf(INT64_FORMAT, clock_unix_seconds(GetCurrentTimestamp())));
	request_add_header(wire, "webhook-signature", SHOWN_MASK);
}

SQL_FUNCTION(rswebhook_wire_destination);

/*
 * rswebhook.wire(event, destination): the same for a stored one, with its own headers; secrets
 * are masked for who may not read them, and those that are elsewhere for everybody.
 */
Datum
rswebhook_wire_destination(PG_FUNCTION_ARGS)
{
	Jsonb	   *event = PG_GETARG_JSONB_P(0);
	char	   *name = text_to_cstring(PG_GETARG_TEXT_PP(1));
	const Destination *dest = usable_destination(name, is_config(name) ? CONFIG_HINT :
												 nearest_destination_hint(name, NEAREST_OTHERWISE));
	Transformed transformed;
	WireRequest wire;
	char	   *why;

	transform_event(event, dest->config, rswebhook_max_request_size, &transformed);
	transform_check(&transformed);
	if (!allow_event(&transformed, dest, &why))
		report_unsendable(why);
	transform_event(event, visible_config(dest), rswebhook_max_request_size, &transformed);
	if (!transformed.passthrough)
		(void) url_endpoint_problem(&transformed.endpoint);
	mask_sources(&transformed);
	if (!request_to_wire(&transformed, &wire, &why))
		report_unsendable(why);
	add_own_headers(&wire, event, dest);
	PG_RETURN_JSONB_P(request_wire_to_jsonb(&wire));
}
