/*-------------------------------------------------------------------------
 *
 * outbox.c
 *		rswebhook_outbox(): the rows of a table are the events.
 *
 * A row holds an event, or the columns that make one.  As with trigger.c, whoever
 * inserts it needs no privilege of the extension, and what is wrong with the webhook
 * fails the application's INSERT only if the trigger was told so.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "executor/spi.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#include "api/event.h"
#include "api/firing.h"
#include "api/options.h"
#include "api/outbox.h"
#include "api/rowjson.h"
#include "api/trigger_names.h"
#include "api/warn.h"
#include "base/compat.h"

enum
{
	OUTBOX_EVENT, OUTBOX_TYPE, OUTBOX_EVENT_NAME, OUTBOX_USER_ID, OUTBOX_PAYLOAD, OUTBOX_MESSAGE_ID,
	OUTBOX_DESTINATION, OUTBOX_DESTINATION_COLUMN, OUTBOX_ORDERING_KEY, OUTBOX_DELIVER_AFTER,
	OUTBOX_EXPIRES_AFTER, OUTBOX_KEEP, OUTBOX_ENRICH, OUTBOX_ON_ERROR,
	OUTBOX_OPTIONS
};

static const Option known_options[OUTBOX_OPTIONS] = {
	[OUTBOX_EVENT] = {.name = "event"},
	[OUTBOX_TYPE] = {.name = "type"},
	[OUTBOX_EVENT_NAME] = {.name = "event_name"},
	[OUTBOX_USER_ID] = {.name = "user_id"},
	[OUTBOX_PAYLOAD] = {.name = "payload"},
	[OUTBOX_MESSAGE_ID] = {.name = "message_id"},
	[OUTBOX_DESTINATION] = {.name = "destination"},
	[OUTBOX_DESTINATION_COLUMN] = {.name = "destination_column"},
	[OUTBOX_ORDERING_KEY] = {.name = "ordering_key"},
	[OUTBOX_DELIVER_AFTER] = {.name = "deliver_after"},
	[OUTBOX_EXPIRES_AFTER] = {.name = "expires_after"},
	[OUTBOX_KEEP] = {.name = "keep", .value = "true", .allowed = options_truths},
	[OUTBOX_ENRICH] = {.name = "enrich", .allowed = options_truths},
	[OUTBOX_ON_ERROR] = {.name = "on_error", .value = "warn", .allowed = warn_on_error_values}
};

/* What an outbox' trigger was told of its columns: their numbers, or 0. */
typedef struct OutboxPlan
{
	int			columns[OUTBOX_OPTIONS];
	const char *destination;
	int			last_column;
	bool		keeps;
	Refusal		why_kept;		/* although it was told not to; no message: it was not */
	FiringPolicy policy;
} OutboxPlan;

/* ---------------------------------------------------------------------
 * Options
 * ---------------------------------------------------------------------
 */
static Oid
column_type(TupleDesc desc, int attnum)
{
	return getBaseType(TupleDescAttr(desc, attnum - 1)->atttypid);
}

/* Whose values are taken as they are. */
static bool
is_plain(TupleDesc desc, int option, int attnum)
{
	switch (option)
	{
		case OUTBOX_EVENT:
		case OUTBOX_PAYLOAD:
			return column_type(desc, attnum) == JSONBOID;
		case OUTBOX_DELIVER_AFTER:
		case OUTBOX_EXPIRES_AFTER:
			return true;
		default:
			return rowjson_text_is_plain(desc, attnum);
	}
}

/* json, jsonb or text, or one that holds a time; under a domain as well. */
static bool
check_type(Relation rel, const OutboxPlan *plan, int option, Refusal *refusal)
{
	TupleDesc	desc = RelationGetDescr(rel);
	int			attnum = plan->columns[option];
	Oid			type = attnum == 0 ? InvalidOid : column_type(desc, attnum);
	const char *wanted = NULL;

	if (attnum == 0)
		return true;
	if ((option == OUTBOX_EVENT || option == OUTBOX_PAYLOAD) &&
		type != JSONBOID && type != JSONOID && type != TEXTOID && type != VARCHAROID)
		wanted = "jsonb, json nor text";
	else if (option == OUTBOX_DELIVER_AFTER && type != TIMESTAMPTZOID)
		wanted = "timestamp with time zone";
	else if (option == OUTBOX_EXPIRES_AFTER && type != INTERVALOID)
		wanted = "interval";
	if (wanted == NULL)
		return true;
	return refusal_set(refusal, ERRCODE_DATATYPE_MISMATCH,
				  psprintf("column \"%s\" of relation \"%s\" cannot be used as \"%s\"",
						   NameStr(TupleDescAttr(desc, attnum - 1)->attname),
						   RelationGetRelationName(rel), known_options[option].name),
				  psprintf(option == OUTBOX_EVENT || option == OUTBOX_PAYLOAD ? "Its type is neither %s." :
						   "Its type is not %s.", wanted), NULL);
}

static bool
check_combination(const Trigger *trigger, const Option *options, Refusal *refusal)
{
	bool		made = options[OUTBOX_PAYLOAD].given || options[OUTBOX_TYPE].given ||
		options[OUTBOX_EVENT_NAME].given || options[OUTBOX_USER_ID].given || options[OUTBOX_MESSAGE_ID].given;
	const char *problem = NULL;

	if (options[OUTBOX_DESTINATION].given && options[OUTBOX_DESTINATION_COLUMN].given)
		return refusal_set(refusal, ERRCODE_INVALID_PARAMETER_VALUE,
					  psprintf("trigger \"%s\" has both a destination and a destination_column", trigger->tgname),
					  NULL, "Create the trigger anew with one of them.");
	if (made && options[OUTBOX_EVENT].given)
		problem = "An event is in a column, or is made of columns.";
	else if (made && !options[OUTBOX_TYPE].given)
		problem = "An event that is made of columns has a type.";
	return problem == NULL ||
		refusal_set(refusal, ERRCODE_INVALID_PARAMETER_VALUE,
			   psprintf("arguments of trigger \"%s\" do not go together", trigger->tgname),
			   problem, "Create the trigger anew.");
}

/* NULL: refused. */
static OutboxPlan *
make_plan(Relation rel, const Trigger *trigger, Refusal *refusal)
{
	static const int columns[] = {
		OUTBOX_EVENT, OUTBOX_TYPE, OUTBOX_EVENT_NAME, OUTBOX_USER_ID, OUTBOX_PAYLOAD, OUTBOX_MESSAGE_ID,
		OUTBOX_DESTINATION_COLUMN, OUTBOX_ORDERING_KEY, OUTBOX_DELIVER_AFTER, OUTBOX_EXPIRES_AFTER
	};
	OutboxPlan *plan = palloc0(sizeof(OutboxPlan));
	Option		options[OUTBOX_OPTIONS];

	memcpy(options, known_options, sizeof(options));
	if (!options_read(trigger, 0, options, OUTBOX_OPTIONS, refusal) ||
		!check_combination(trigger, options, refusal))
		return NULL;
	if (!options[OUTBOX_TYPE].given && !options[OUTBOX_EVENT].given)
		options[OUTBOX_EVENT].value = "event";
	for (int i = 0; i < lengthof(columns); i++)
	{
		int			option = columns[i];

		if (!options_column(rel, trigger, options[option].value, &plan->columns[option], refusal) ||
			!check_type(rel, plan, option, refusal))
			return NULL;
		plan->last_column = Max(plan->last_column, plan->columns[option]);
		if (plan->columns[option] == 0)
			continue;
		plan->policy.columns = bms_add_member(plan->policy.columns, plan->columns[option]);
		plan->policy.may_fail |= !is_plain(RelationGetDescr(rel), option, plan->columns[option]);
	}
	plan->destination = options[OUTBOX_DESTINATION].value;
	plan->policy.owner = trigger_names_owner(rel, trigger->tgoid);
	plan->policy.destination_column = plan->columns[OUTBOX_DESTINATION_COLUMN];
	plan->keeps = strcmp(options[OUTBOX_KEEP].value, "true") == 0;
	plan->policy.enrich = options_enrichment(&options[OUTBOX_ENRICH]);
	plan->policy.raises = strcmp(options[OUTBOX_ON_ERROR].value, "raise") == 0;
	return plan;
}

/* ---------------------------------------------------------------------
 * Rows
 * ---------------------------------------------------------------------
 */
typedef struct OutboxFiring
{
	Firing		base;
	OutboxPlan *plan;
	TupleTableSlot *row;
} OutboxFiring;

static TupleDesc
desc_of(const OutboxFiring *firing)
{
	return RelationGetDescr(firing->base.trigdata->tg_relation);
}

static char *
text_of(const OutboxFiring *firing, int option)
{
	int			attnum = firing->plan->columns[option];

	return attnum == 0 ? NULL :
		rowjson_text(desc_of(firing), attnum, firing->row->tts_values, firing->row->tts_isnull);
}

static Size
size_of(const OutboxFiring *firing, int option)
{
	return rowjson_column_size(desc_of(firing), firing->plan->columns[option], firing->row->tts_values,
							   firing->row->tts_isnull);
}

static const char *
destination_of(const OutboxFiring *firing)
{
	return firing->plan->destination != NULL ? firing->plan->destination :
		text_of(firing, OUTBOX_DESTINATION_COLUMN);
}

/* arg: an OutboxFiring */
static void
name_destination(void *arg)
{
	OutboxFiring *firing = arg;
	Refusal		ignored;

	if (accept_size(size_of(firing, OUTBOX_DESTINATION_COLUMN), &ignored))
		firing->base.destination = destination_of(firing);
}

/* How deep it is nested is the row's own matter, and not the statement's. */
static Datum
parse_json(const char *text)
{
	MemoryContext caller = CurrentMemoryContext;
	Datum		json = (Datum) 0;

	PG_TRY();
	{
		json = DirectFunctionCall1(jsonb_in, CStringGetDatum(text));
	}
	PG_CATCH();
	{
		if (geterrcode() != ERRCODE_STATEMENT_TOO_COMPLEX)
			PG_RE_THROW();
		MemoryContextSwitchTo(caller);
		FlushErrorState();
		firing_error_too_deep();
	}
	PG_END_TRY();
	return json;
}

/* A value that is stored elsewhere is not fetched if it is too large. */
static bool
json_of(OutboxFiring *firing, int option, Datum *json)
{
	int			attnum = firing->plan->columns[option];
	Datum		value = firing->row->tts_values[attnum - 1];
	Oid			type = column_type(desc_of(firing), attnum);

	*json = (Datum) 0;
	if (firing->row->tts_isnull[attnum - 1])
		return true;
	if (!accept_size(rowjson_value_size(value), &firing->base.refusal))
		return false;
	*json = type == JSONBOID ? value :
		parse_json(TextDatumGetCString(value));
	return true;
}

static bool
make_event(OutboxFiring *firing)
{
	TupleDesc	desc = desc_of(firing);
	int			attnum = firing->plan->columns[OUTBOX_EVENT];
	Datum		payload = (Datum) 0;
	const char *type;

	if (attnum > 0)
	{
		if (!json_of(firing, OUTBOX_EVENT, &firing->base.event))
			return false;
		return firing->base.event != (Datum) 0 ||
			refusal_set(&firing->base.refusal, ERRCODE_NULL_VALUE_NOT_ALLOWED, "event must not be null",
				   psprintf("Column \"%s\" of relation \"%s\" is null.",
							NameStr(TupleDescAttr(desc, attnum - 1)->attname),
							RelationGetRelationName(firing->base.trigdata->tg_relation)), NULL);
	}
	if (firing->plan->columns[OUTBOX_PAYLOAD] > 0 && !json_of(firing, OUTBOX_PAYLOAD, &payload))
		return false;
	type = text_of(firing, OUTBOX_TYPE);
	if (type == NULL)
		return refusal_set(&firing->base.refusal, ERRCODE_NULL_VALUE_NOT_ALLOWED, "type of an event must not be null",
					  psprintf("Column \"%s\" of relation \"%s\" is null.",
							   NameStr(TupleDescAttr(desc, firing->plan->columns[OUTBOX_TYPE] - 1)->attname),
							   RelationGetRelationName(firing->base.trigdata->tg_relation)), NULL);
	firing->base.event = event_of_parts(type, text_of(firing, OUTBOX_EVENT_NAME), text_of(firing, OUTBOX_MESSAGE_ID),
								   text_of(firing, OUTBOX_USER_ID),
								   payload == (Datum) 0 ? NULL : DatumGetJsonbP(payload), firing->base.sending.now);
	return true;
}

/* arg: an OutboxFiring.  Reads only. */
static void
prepare_row(void *arg)
{
	OutboxFiring *firing = arg;
	const OutboxPlan *plan = firing->plan;
	const TupleTableSlot *row = firing->row;
	int			after = plan->columns[OUTBOX_DELIVER_AFTER];
	int			expires = plan->columns[OUTBOX_EXPIRES_AFTER];
	SendOptions options = {.ordering_key = text_of(firing, OUTBOX_ORDERING_KEY), .enrich = plan->policy.enrich};
	TimestampTz deliver_after;

	options.destination = destination_of(firing);
	firing->base.destination = options.destination;
	if (after > 0 && !row->tts_isnull[after - 1])
	{
		deliver_after = DatumGetTimestampTz(row->tts_values[after - 1]);
		options.deliver_after = &deliver_after;
	}
	if (expires > 0 && !row->tts_isnull[expires - 1])
		options.expires_after = DatumGetIntervalP(row->tts_values[expires - 1]);
	firing->base.accepted = make_event(firing) &&
		send_prepare(&firing->base.sending, firing->base.event, &options, &firing->base.prepared, &firing->base.refusal);
}

/* What becomes the event has so many bytes; what decides on it has no more. */
static Size
size_of_row(const OutboxFiring *firing)
{
	Size		size = 0;

	for (int option = OUTBOX_EVENT; option <= OUTBOX_MESSAGE_ID; option++)
		size += size_of(firing, option);
	return Max(size, Max(size_of(firing, OUTBOX_ORDERING_KEY), size_of(firing, OUTBOX_DESTINATION_COLUMN)));
}

static void
fire_for_row(OutboxFiring *firing)
{
	slot_getsomeattrs(firing->row, firing->plan->last_column);
	firing->base.destination = firing->plan->destination;
	firing_send(&firing->base, size_of_row(firing), prepare_row, name_destination);
}

/*
 * The row has served; nothing but the row itself is deleted.  Another trigger may have
 * changed or deleted it since.
 */
static void
delete_row(const OutboxFiring *firing)
{
	Relation	rel = firing->base.trigdata->tg_relation;
	TupleTableSlot *slot = table_slot_create(rel, NULL);
	ItemPointerData tid = firing->row->tts_tid;
	Snapshot	snapshot;

	CommandCounterIncrement();	/* it is this command's own */
	snapshot = RegisterSnapshot(GetLatestSnapshot());
	if (table_tuple_fetch_row_version(rel, &tid, snapshot, slot))
		simple_table_tuple_delete(rel, &tid, snapshot);
	UnregisterSnapshot(snapshot);
	ExecDropSingleTupleTableSlot(slot);
}

static void
fire_for_statement(OutboxFiring *firing)
{
	TupleTableSlot *slot = MakeSingleTupleTableSlot(desc_of(firing), &TTSOpsMinimalTuple);

	firing->row = slot;
	tuplestore_select_read_pointer(firing->base.trigdata->tg_newtable, 0);
	tuplestore_rescan(firing->base.trigdata->tg_newtable);
	while (tuplestore_gettupleslot(firing->base.trigdata->tg_newtable, true, false, slot))
	{
		CHECK_FOR_INTERRUPTS();
		fire_for_row(firing);
	}
	ExecDropSingleTupleTableSlot(slot);
}

/* After or instead of an INSERT; for a statement, with the table of its rows. */
static bool
check_firing(Relation rel, const Trigger *trigger, Refusal *refusal)
{
	int16		type = trigger->tgtype;
	const char *detail = NULL;

	if (TRIGGER_FOR_BEFORE(type))
		detail = "It is fired AFTER INSERT, or on a view INSTEAD OF INSERT.";
	else if (!TRIGGER_FOR_INSERT(type) || TRIGGER_FOR_UPDATE(type) || TRIGGER_FOR_DELETE(type) || TRIGGER_FOR_TRUNCATE(type))
		detail = "It is fired by INSERT, and by nothing else.";
	else if (!TRIGGER_FOR_ROW(type) && trigger->tgnewtable == NULL)
		detail = "FOR EACH STATEMENT, it needs REFERENCING NEW TABLE.";
	if (!options_table(rel, trigger, refusal))
		return false;
	return detail == NULL ||
		refusal_set(refusal, ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED,
			   psprintf("trigger \"%s\" is not fired as rswebhook_outbox() needs it", trigger->tgname),
			   detail, "Create the trigger anew.");
}

/* Is there a foreign key that is checked after the trigger, when the row is gone? */
static bool
is_checked_later(Relation rel, const Trigger *trigger)
{
	TriggerDesc *triggers = rel->trigdesc;
	bool		later = false;

	/* they are fired in this order */
	for (int i = 0; triggers != NULL && i < triggers->numtriggers; i++)
	{
		const Trigger *other = &triggers->triggers[i];

		if (RI_FKey_trigger_type(other->tgfoid) == RI_TRIGGER_FK &&
			TRIGGER_FOR_INSERT(other->tgtype) && (later || other->tgdeferrable))
			return true;
		later |= other->tgoid == trigger->tgoid;
	}
	return false;
}

static bool
is_referenced(Relation rel)
{
	TriggerDesc *triggers = rel->trigdesc;

	for (int i = 0; triggers != NULL && i < triggers->numtriggers; i++)
	{
		if (RI_FKey_trigger_type(triggers->triggers[i].tgfoid) == RI_TRIGGER_PK)
			return true;
	}
	return false;
}

/* arg: a Relation */
static void
check_identity(void *arg)
{
	CheckCmdReplicaIdentity(arg, CMD_DELETE);
}

/* Can rows be deleted past everything that a DELETE does besides? */
static bool
check_deleting(Relation rel, const Trigger *trigger, Refusal *refusal)
{
	const char *detail = NULL;
	Refusal		identity;

	if (rel->rd_rel->relkind != RELKIND_RELATION && rel->rd_rel->relkind != RELKIND_PARTITIONED_TABLE)
		detail = "It is not an ordinary table.";
	else if (is_referenced(rel))
		detail = "Foreign keys refer to it.";
	else if (is_checked_later(rel, trigger))
		detail = "It has a foreign key that is checked after this trigger: it is deferrable, or the trigger's name comes first.";
	else if (!warn_try(check_identity, rel, &identity))
		detail = "It publishes deletes, and has no replica identity.";
	return detail == NULL ||
		refusal_set(refusal, ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
			   psprintf("trigger \"%s\" cannot delete rows of relation \"%s\"", trigger->tgname,
						RelationGetRelationName(rel)),
			   detail, "Create the trigger with keep=true.");
}

/* NULL: refused. */
static OutboxPlan *
check_all(Relation rel, const Trigger *trigger, Refusal *refusal)
{
	OutboxPlan *plan = check_firing(rel, trigger, refusal) ? make_plan(rel, trigger, refusal) : NULL;

	if (plan != NULL && !plan->keeps && !TRIGGER_FOR_ROW(trigger->tgtype))
	{
		(void) refusal_set(refusal, ERRCODE_INVALID_PARAMETER_VALUE,
					  psprintf("trigger \"%s\" cannot delete its rows", trigger->tgname),
					  "Only a trigger FOR EACH ROW knows where they are.",
					  "Create it FOR EACH ROW, or with keep=true.");
		return NULL;
	}
	return plan;
}

bool
outbox_options_check(Relation rel, const Trigger *trigger, const char **destination, Refusal *refusal)
{
	OutboxPlan *plan = check_all(rel, trigger, refusal);

	*destination = plan == NULL ? NULL : plan->destination;
	return plan != NULL && (plan->keeps || check_deleting(rel, trigger, refusal));
}

static OutboxPlan *
get_plan(FunctionCallInfo fcinfo, const TriggerData *trigdata, Refusal *refusal)
{
	MemoryContext caller;
	OutboxPlan *plan;

	if (fcinfo->flinfo->fn_extra == NULL)
	{
		caller = MemoryContextSwitchTo(fcinfo->flinfo->fn_mcxt);
		plan = check_all(trigdata->tg_relation, trigdata->tg_trigger, refusal);
		if (plan != NULL && !plan->keeps &&
			!check_deleting(trigdata->tg_relation, trigdata->tg_trigger, &plan->why_kept))
			plan->keeps = true;
		fcinfo->flinfo->fn_extra = plan;
		MemoryContextSwitchTo(caller);
	}
	return fcinfo->flinfo->fn_extra;
}

SQL_FUNCTION(rswebhook_outbox);

Datum
rswebhook_outbox(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata = firing_trigger(fcinfo, "rswebhook_outbox");
	bool		is_row = TRIGGER_FIRED_FOR_ROW(trigdata->tg_event);
	Refusal		refusal;
	OutboxPlan *plan = get_plan(fcinfo, trigdata, &refusal);
	OutboxFiring firing = {.plan = plan, .base.trigdata = trigdata};

	if (plan == NULL)
		return firing_without_plan(trigdata, &refusal);
	firing.base.policy = &plan->policy;
	if (!firing_begin(&firing.base, fcinfo, "rswebhook_outbox()"))
		return PointerGetDatum(is_row ? trigdata->tg_trigtuple : NULL);
	if (is_row)
	{
		firing.row = trigdata->tg_trigslot;
		fire_for_row(&firing);
	}
	else
		fire_for_statement(&firing);
	firing_end(&firing.base);
	if (plan->why_kept.message != NULL)
		warn_once(trigdata->tg_trigger, &plan->why_kept);
	/* what was refused stays: there may be nothing else that has it */
	if (firing.base.accepted && is_row && !plan->keeps && TRIGGER_FIRED_AFTER(trigdata->tg_event))
		delete_row(&firing);

	/* to a view's trigger, the row says that it was taken */
	return PointerGetDatum(is_row ? trigdata->tg_trigtuple : NULL);
}
