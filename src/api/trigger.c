/*-------------------------------------------------------------------------
 *
 * trigger.c
 *		Trigger functions that send: a table's changes as events, and outbox
 *		tables whose rows hold the events.
 *
 * Both enqueue through send_event() in the transaction of the change, so the
 * user who changes the table needs no privilege of the extension.  Options are
 * words of the form key=value; what they mean is told beside CREATE FUNCTION
 * in the extension's script.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "pgtime.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "api/send.h"
#include "base/compat.h"
#include "base/encoding.h"

typedef struct Option
{
	const char *name;
	const char *value;			/* the default, then what was given */
} Option;

/* ---------------------------------------------------------------------
 * Arguments and columns
 * ---------------------------------------------------------------------
 */
static void
read_options(const Trigger *trigger, int first, Option *options, int count)
{
	for (int i = first; i < trigger->tgnargs; i++)
	{
		const char *argument = trigger->tgargs[i];
		const char *equals = strchr(argument, '=');
		int			len = equals ? equals - argument : strlen(argument);
		StringInfoData known;
		int			n;

		for (n = 0; n < count; n++)
		{
			if (strlen(options[n].name) == len &&
				strncmp(options[n].name, argument, len) == 0)
				break;
		}
		if (equals != NULL && n < count)
		{
			options[n].value = equals + 1;
			continue;
		}

		initStringInfo(&known);
		for (n = 0; n < count; n++)
			appendStringInfo(&known, "%s%s", n > 0 ? ", " : "", options[n].name);
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid argument \"%s\" of trigger \"%s\"",
						encoding_quotable(argument, strlen(argument)), trigger->tgname),
				 errdetail("Options have the form key=value; the keys are: %s.", known.data),
				 errhint("Create the trigger anew.")));
	}
}

/* A column by name; no column for NULL or an empty name. */
static int
find_column(const TriggerData *trigdata, const char *name)
{
	int			attnum;

	if (name == NULL || name[0] == '\0')
		return 0;
	attnum = SPI_fnumber(RelationGetDescr(trigdata->tg_relation), name);
	if (attnum <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("column \"%s\" of relation \"%s\" does not exist",
						encoding_quotable(name, strlen(name)),
						RelationGetRelationName(trigdata->tg_relation)),
				 errdetail("An argument of the trigger \"%s\" names it.",
						   trigdata->tg_trigger->tgname),
				 errhint("Create the trigger anew.")));
	return attnum;
}

/* The column's value as text; NULL if it is null or there is no column. */
static char *
column_text(const TriggerData *trigdata, HeapTuple tuple, const char *name)
{
	int			attnum = find_column(trigdata, name);

	if (attnum == 0)
		return NULL;
	return SPI_getvalue(tuple, RelationGetDescr(trigdata->tg_relation), attnum);
}

/* ---------------------------------------------------------------------
 * Building an event
 * ---------------------------------------------------------------------
 */
static void
push_key(JsonbInState *state, const char *key)
{
	JsonbValue	value;

	value.type = jbvString;
	value.val.string.val = unconstify(char *, key);
	value.val.string.len = strlen(key);
	pushJsonbValue(state, WJB_KEY, &value);
}

/* A pair of a key and a string; none if the string is NULL. */
static void
push_string(JsonbInState *state, const char *key, const char *string)
{
	JsonbValue	value;

	if (string == NULL)
		return;
	push_key(state, key);
	value.type = jbvString;
	value.val.string.val = unconstify(char *, string);
	value.val.string.len = strlen(string);
	pushJsonbValue(state, WJB_VALUE, &value);
}

static void
push_jsonb(JsonbInState *state, const char *key, Jsonb *jsonb)
{
	JsonbValue	value;

	push_key(state, key);
	value.type = jbvBinary;
	value.val.binary.data = &jsonb->root;
	value.val.binary.len = VARSIZE(jsonb) - VARHDRSZ;
	pushJsonbValue(state, WJB_VALUE, &value);
}

/*
 * to_jsonb(row).  It asks for the type of its argument, so it is called as if
 * from an expression that has one.
 */
static Jsonb *
row_to_jsonb(Relation rel, HeapTuple tuple)
{
	TupleDesc	desc = RelationGetDescr(rel);
	Datum		row = heap_copy_tuple_as_datum(tuple, desc);
	Const	   *argument = makeConst(rel->rd_rel->reltype, -1, InvalidOid, -1,
									 row, false, false);
	FuncExpr   *call = makeFuncExpr(F_TO_JSONB, JSONBOID, list_make1(argument),
									InvalidOid, InvalidOid, COERCE_EXPLICIT_CALL);
	FmgrInfo	flinfo;

	fmgr_info(F_TO_JSONB, &flinfo);
	fmgr_info_set_expr((Node *) call, &flinfo);
	return DatumGetJsonbP(FunctionCall1(&flinfo, row));
}

/* "2026-05-01T12:34:56.789Z" */
static char *
iso_timestamp(TimestampTz at)
{
	struct pg_tm tm;
	fsec_t		fsec;

	/* without a zone to convert to, the fields are UTC's */
	if (timestamp2tm(at, NULL, &tm, &fsec, NULL, NULL) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("timestamp out of range")));
	return psprintf("%04d-%02d-%02dT%02d:%02d:%02d.%03dZ",
					tm.tm_year, tm.tm_mon, tm.tm_mday,
					tm.tm_hour, tm.tm_min, tm.tm_sec, (int) (fsec / 1000));
}

static char *
new_message_id(void)
{
	Datum		uuid = DirectFunctionCall1(gen_random_uuid, (Datum) 0);

	return DatumGetCString(DirectFunctionCall1(uuid_out, uuid));
}

static const char *
operation_name(TriggerEvent event)
{
	if (TRIGGER_FIRED_BY_INSERT(event))
		return "insert";
	if (TRIGGER_FIRED_BY_UPDATE(event))
		return "update";
	return "delete";
}

/* What a table's trigger was told to make of its rows. */
enum
{
	TABLE_USER_ID, TABLE_ANONYMOUS_ID, TABLE_ORDERING_KEY, TABLE_TYPE,
	TABLE_PREVIOUS,
	TABLE_OPTIONS
};

static Jsonb *
build_event(const TriggerData *trigdata, HeapTuple tuple, const char *name,
			const Option *options)
{
	Relation	rel = trigdata->tg_relation;
	bool		identify = strcmp(options[TABLE_TYPE].value, "identify") == 0;
	char	   *now = iso_timestamp(GetCurrentTimestamp());
	JsonbInState state = {0};

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	push_string(&state, "type", options[TABLE_TYPE].value);
	if (!identify)
		push_string(&state, "event", name);
	push_string(&state, "messageId", new_message_id());
	push_string(&state, "userId",
				column_text(trigdata, tuple, options[TABLE_USER_ID].value));
	push_string(&state, "anonymousId",
				column_text(trigdata, tuple, options[TABLE_ANONYMOUS_ID].value));
	push_string(&state, "channel", "server");
	push_string(&state, "originalTimestamp", now);
	push_string(&state, "sentAt", now);

	push_key(&state, "context");
	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	push_key(&state, "library");
	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	push_string(&state, "name", "rswebhook");
	push_string(&state, "version", RSWEBHOOK_VERSION);
	pushJsonbValue(&state, WJB_END_OBJECT, NULL);
	push_key(&state, "table");
	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	push_string(&state, "schema", get_namespace_name(RelationGetNamespace(rel)));
	push_string(&state, "name", RelationGetRelationName(rel));
	push_string(&state, "operation", operation_name(trigdata->tg_event));
	pushJsonbValue(&state, WJB_END_OBJECT, NULL);
	if (TRIGGER_FIRED_BY_UPDATE(trigdata->tg_event) &&
		strcmp(options[TABLE_PREVIOUS].value, "true") == 0)
		push_jsonb(&state, "previous", row_to_jsonb(rel, trigdata->tg_trigtuple));
	pushJsonbValue(&state, WJB_END_OBJECT, NULL);

	push_jsonb(&state, identify ? "traits" : "properties", row_to_jsonb(rel, tuple));
	pushJsonbValue(&state, WJB_END_OBJECT, NULL);
	return JsonbValueToJsonb(state.result);
}

static void
require_value(const TriggerData *trigdata, const Option *option,
			  const char *one, const char *other)
{
	if (strcmp(option->value, one) != 0 && strcmp(option->value, other) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value \"%s\" for option \"%s\" of trigger \"%s\"",
						encoding_quotable(option->value, strlen(option->value)),
						option->name, trigdata->tg_trigger->tgname),
				 errdetail("The value is either %s or %s.", one, other),
				 errhint("Create the trigger anew.")));
}

/* ---------------------------------------------------------------------
 * The trigger functions
 * ---------------------------------------------------------------------
 */
SQL_FUNCTION(rswebhook_trigger);

Datum
rswebhook_trigger(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata = (TriggerData *) fcinfo->context;
	Option		options[TABLE_OPTIONS] = {
		[TABLE_USER_ID] = {"user_id", NULL},
		[TABLE_ANONYMOUS_ID] = {"anonymous_id", NULL},
		[TABLE_ORDERING_KEY] = {"ordering_key", NULL},
		[TABLE_TYPE] = {"type", "track"},
		[TABLE_PREVIOUS] = {"previous", "false"},
	};
	SendOptions send = {0};
	Trigger    *trigger;
	HeapTuple	tuple;
	const char *name = NULL;
	int64		id;

	if (!CALLED_AS_TRIGGER(fcinfo) ||
		!TRIGGER_FIRED_AFTER(trigdata->tg_event) ||
		!TRIGGER_FIRED_FOR_ROW(trigdata->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("\"%s\" must be called as a row trigger after INSERT, UPDATE or DELETE",
						"rswebhook_trigger")));

	trigger = trigdata->tg_trigger;
	read_options(trigger, 2, options, TABLE_OPTIONS);
	require_value(trigdata, &options[TABLE_TYPE], "track", "identify");
	require_value(trigdata, &options[TABLE_PREVIOUS], "true", "false");

	if (trigger->tgnargs > 0 && trigger->tgargs[0][0] != '\0')
		send.destination = trigger->tgargs[0];
	if (trigger->tgnargs > 1 && trigger->tgargs[1][0] != '\0')
		name = trigger->tgargs[1];
	else
		name = psprintf("%s %s", RelationGetRelationName(trigdata->tg_relation),
						operation_name(trigdata->tg_event));

	tuple = TRIGGER_FIRED_BY_UPDATE(trigdata->tg_event) ?
		trigdata->tg_newtuple : trigdata->tg_trigtuple;
	send.ordering_key = column_text(trigdata, tuple, options[TABLE_ORDERING_KEY].value);
	(void) send_event(JsonbPGetDatum(build_event(trigdata, tuple, name, options)), &send, &id);
	return PointerGetDatum(NULL);
}

/* What an outbox' trigger was told of its columns. */
enum
{
	OUTBOX_EVENT, OUTBOX_DESTINATION, OUTBOX_DESTINATION_COLUMN,
	OUTBOX_ORDERING_KEY, OUTBOX_DELIVER_AFTER,
	OUTBOX_OPTIONS
};

/* The event in a column of type jsonb or json. */
static Datum
outbox_event(const TriggerData *trigdata, HeapTuple tuple, const char *column)
{
	TupleDesc	desc = RelationGetDescr(trigdata->tg_relation);
	int			attnum = find_column(trigdata, column);
	Oid			type = attnum > 0 ? SPI_gettypeid(desc, attnum) : InvalidOid;
	Datum		value;
	bool		isnull;

	if (type != JSONBOID && type != JSONOID)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("column \"%s\" of relation \"%s\" cannot hold events",
						column, RelationGetRelationName(trigdata->tg_relation)),
				 errdetail("Its type is neither jsonb nor json.")));

	value = SPI_getbinval(tuple, desc, attnum, &isnull);
	if (isnull)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("event must not be null"),
				 errdetail("Column \"%s\" of relation \"%s\" is null.",
						   column, RelationGetRelationName(trigdata->tg_relation))));
	if (type == JSONOID)
		value = DirectFunctionCall1(jsonb_in, CStringGetDatum(TextDatumGetCString(value)));
	return value;
}

static bool
outbox_time(const TriggerData *trigdata, HeapTuple tuple, const char *column,
			TimestampTz *at)
{
	TupleDesc	desc = RelationGetDescr(trigdata->tg_relation);
	int			attnum = find_column(trigdata, column);
	bool		isnull;

	if (attnum == 0)
		return false;
	if (SPI_gettypeid(desc, attnum) != TIMESTAMPTZOID)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("column \"%s\" of relation \"%s\" is not of type timestamp with time zone",
						column, RelationGetRelationName(trigdata->tg_relation))));
	*at = DatumGetTimestampTz(SPI_getbinval(tuple, desc, attnum, &isnull));
	return !isnull;
}

SQL_FUNCTION(rswebhook_outbox);

Datum
rswebhook_outbox(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata = (TriggerData *) fcinfo->context;
	Option		options[OUTBOX_OPTIONS] = {
		[OUTBOX_EVENT] = {"event", "event"},
		[OUTBOX_DESTINATION] = {"destination", NULL},
		[OUTBOX_DESTINATION_COLUMN] = {"destination_column", NULL},
		[OUTBOX_ORDERING_KEY] = {"ordering_key", NULL},
		[OUTBOX_DELIVER_AFTER] = {"deliver_after", NULL},
	};
	SendOptions send = {0};
	TimestampTz deliver_after;
	HeapTuple	tuple;
	int64		id;

	if (!CALLED_AS_TRIGGER(fcinfo) ||
		TRIGGER_FIRED_BEFORE(trigdata->tg_event) ||
		!TRIGGER_FIRED_FOR_ROW(trigdata->tg_event) ||
		!TRIGGER_FIRED_BY_INSERT(trigdata->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("\"%s\" must be called as a row trigger after or instead of INSERT",
						"rswebhook_outbox")));

	tuple = trigdata->tg_trigtuple;
	read_options(trigdata->tg_trigger, 0, options, OUTBOX_OPTIONS);
	if (options[OUTBOX_DESTINATION].value != NULL &&
		options[OUTBOX_DESTINATION_COLUMN].value != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("trigger \"%s\" has both a destination and a destination_column",
						trigdata->tg_trigger->tgname),
				 errhint("Create the trigger anew with one of them.")));

	send.destination = options[OUTBOX_DESTINATION].value;
	if (send.destination == NULL)
		send.destination = column_text(trigdata, tuple,
									   options[OUTBOX_DESTINATION_COLUMN].value);
	if (outbox_time(trigdata, tuple, options[OUTBOX_DELIVER_AFTER].value, &deliver_after))
		send.deliver_after = &deliver_after;
	send.ordering_key = column_text(trigdata, tuple, options[OUTBOX_ORDERING_KEY].value);

	(void) send_event(outbox_event(trigdata, tuple, options[OUTBOX_EVENT].value), &send, &id);

	/* to a view's trigger, the row says that it was taken */
	return PointerGetDatum(tuple);
}
