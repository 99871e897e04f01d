/*-------------------------------------------------------------------------
 *
 * trigger.c
 *		rswebhook_trigger(): a table's changes as events.
 *
 * Events are enqueued in the transaction of the change, so the user who changes the
 * table needs no privilege of the extension.  A trigger's arguments and what they
 * mean for its table are looked at once a statement.
 *
 * What is wrong with the webhook does not fail the change, unless the trigger was
 * told so: on_error=warn leaves a WARNING and a row of rswebhook.delivery.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/partition.h"
#include "catalog/pg_trigger.h"
#include "commands/trigger.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/tuplestore.h"

#include "api/event.h"
#include "api/firing.h"
#include "api/options.h"
#include "api/rowjson.h"
#include "api/trigger.h"
#include "api/trigger_names.h"
#include "api/warn.h"
#include "base/compat.h"

/* ---------------------------------------------------------------------
 * Options
 * ---------------------------------------------------------------------
 */
enum
{
	OPTION_NAME, OPTION_TYPE, OPTION_USER_ID, OPTION_ANONYMOUS_ID, OPTION_GROUP_ID, OPTION_PREVIOUS_ID,
	OPTION_ORDERING_KEY, OPTION_DESTINATION_COLUMN, OPTION_COLUMNS, OPTION_EXCEPT, OPTION_WATCH,
	OPTION_PREVIOUS, OPTION_SHAPE, OPTION_ENRICH, OPTION_ON_ERROR,
	OPTIONS
};

static const char *const types[] = {"track", "identify", "page", "screen", "group", "alias", NULL};
static const char *const shapes[] = {"rudderstack", "supabase", "hasura", NULL};

static const Option known_options[OPTIONS] = {
	[OPTION_NAME] = {"name"},
	[OPTION_TYPE] = {"type", "track", types},
	[OPTION_USER_ID] = {"user_id"},
	[OPTION_ANONYMOUS_ID] = {"anonymous_id"},
	[OPTION_GROUP_ID] = {"group_id"},
	[OPTION_PREVIOUS_ID] = {"previous_id"},
	[OPTION_ORDERING_KEY] = {"ordering_key"},
	[OPTION_DESTINATION_COLUMN] = {"destination_column"},
	[OPTION_COLUMNS] = {"columns"},
	[OPTION_EXCEPT] = {"except"},
	[OPTION_WATCH] = {"watch"},
	[OPTION_PREVIOUS] = {"previous", "false", options_truths},
	[OPTION_SHAPE] = {"shape", "rudderstack", shapes},
	[OPTION_ENRICH] = {"enrich", NULL, options_truths},
	[OPTION_ON_ERROR] = {"on_error", "warn", warn_on_error_values}
};

/* What a trigger is told to make of its table's rows. */
typedef struct TriggerPlan
{
	EventForm	form;
	const char *destination;	/* NULL: none is named */
	int			destination_column; /* as all below: its number, or 0 */
	int			user_id;
	int			anonymous_id;
	int			group_id;
	int			previous_id;
	int			ordering_key;
	bool	   *watched;		/* of each column: a change of it counts */
	RowJson    *rows;
	int			last_column;	/* that is needed */
	FiringPolicy policy;
} TriggerPlan;

/* The event's name; NULL: none. */
static const char *
second_argument(const Trigger *trigger)
{
	return trigger->tgnargs > 1 && trigger->tgargs[1][0] != '\0' ? trigger->tgargs[1] : NULL;
}

static bool
check_combination(const Trigger *trigger, const Option *options, Refusal *refusal)
{
	static const int of_rudderstack[] = {OPTION_NAME, OPTION_TYPE, OPTION_ANONYMOUS_ID, OPTION_GROUP_ID, OPTION_PREVIOUS_ID, OPTION_PREVIOUS, OPTION_ENRICH};
	const char *type = options[OPTION_TYPE].value;
	bool		rudderstack = event_shape(options[OPTION_SHAPE].value) == SHAPE_RUDDERSTACK;
	bool		named = second_argument(trigger) != NULL;
	const char *problem = NULL;

	if (options[OPTION_COLUMNS].given && options[OPTION_EXCEPT].given)
		problem = "Columns are listed by one of \"columns\" and \"except\".";
	else if (named && options[OPTION_NAME].given)
		problem = "The name is the second argument, or \"name\".";
	else if (named && !rudderstack)
		problem = "The second argument, a name, is for events of the shape rudderstack.";
	else if ((named || options[OPTION_NAME].given) && rudderstack &&
			 (strcmp(type, "identify") == 0 || strcmp(type, "group") == 0 || strcmp(type, "alias") == 0))
		problem = psprintf("An event of type %s has no name.", type);
	else if (options[OPTION_GROUP_ID].given && rudderstack && strcmp(type, "group") != 0)
		problem = "\"group_id\" is for events of type group.";
	else if (options[OPTION_PREVIOUS_ID].given && rudderstack && strcmp(type, "alias") != 0)
		problem = "\"previous_id\" is for events of type alias.";
	else if (strcmp(type, "group") == 0 && !options[OPTION_GROUP_ID].given)
		problem = "An event of type group has a group_id.";
	else if (strcmp(type, "alias") == 0 && (!options[OPTION_PREVIOUS_ID].given || !options[OPTION_USER_ID].given))
		problem = "An event of type alias has a previous_id and a user_id.";
	for (int i = 0; problem == NULL && i < lengthof(of_rudderstack); i++)
	{
		if (options[of_rudderstack[i]].given && !rudderstack)
			problem = psprintf("\"%s\" is for events of the shape rudderstack.", options[of_rudderstack[i]].name);
	}
	return problem == NULL ||
		refusal_set(refusal, ERRCODE_INVALID_PARAMETER_VALUE,
			   psprintf("arguments of trigger \"%s\" do not go together", trigger->tgname),
			   problem, "Create the trigger anew.");
}

/* Which columns are sent: what is computed when it is read is not in a trigger's row. */
static bool
choose_columns(Relation rel, const Trigger *trigger, const Option *options, bool *chosen, Refusal *refusal)
{
	TupleDesc	desc = RelationGetDescr(rel);
	const Option *except = &options[OPTION_EXCEPT];

	if (options[OPTION_COLUMNS].given)
		return options_columns(rel, trigger, &options[OPTION_COLUMNS], chosen, refusal);
	memset(chosen, 0, desc->natts * sizeof(bool));
	if (except->given && !options_columns(rel, trigger, except, chosen, refusal))
		return false;
	for (int i = 0; i < desc->natts; i++)
		chosen[i] = !chosen[i] && TupleDescAttr(desc, i)->attgenerated != 'v';
	return true;
}

static bool
find_columns(Relation rel, const Trigger *trigger, const Option *options, TriggerPlan *plan, Refusal *refusal)
{
	const struct
	{
		int			option;
		int		   *attnum;
	}			columns[] = {
		{OPTION_USER_ID, &plan->user_id}, {OPTION_ANONYMOUS_ID, &plan->anonymous_id},
		{OPTION_GROUP_ID, &plan->group_id}, {OPTION_PREVIOUS_ID, &plan->previous_id},
		{OPTION_ORDERING_KEY, &plan->ordering_key}, {OPTION_DESTINATION_COLUMN, &plan->destination_column}
	};
	int			natts = RelationGetDescr(rel)->natts;
	bool	   *chosen = palloc(Max(natts, 1) * sizeof(bool));

	for (int i = 0; i < lengthof(columns); i++)
	{
		if (!options_column(rel, trigger, options[columns[i].option].value, columns[i].attnum, refusal))
			return false;
		plan->last_column = Max(plan->last_column, *columns[i].attnum);
		if (*columns[i].attnum == 0)
			continue;
		plan->policy.columns = bms_add_member(plan->policy.columns, *columns[i].attnum);
		plan->policy.may_fail |= !rowjson_text_is_plain(RelationGetDescr(rel), *columns[i].attnum);
	}
	if (!choose_columns(rel, trigger, options, chosen, refusal))
		return false;
	for (int i = 0; i < natts; i++)
	{
		if (chosen[i])
			plan->policy.columns = bms_add_member(plan->policy.columns, i + 1);
	}
	plan->rows = rowjson_make(RelationGetDescr(rel), chosen);
	plan->policy.may_fail |= rowjson_may_fail(plan->rows);
	plan->last_column = Max(plan->last_column, rowjson_last_column(plan->rows));
	plan->watched = chosen;
	if (!options[OPTION_WATCH].given)
		return true;
	plan->watched = palloc(Max(natts, 1) * sizeof(bool));
	if (!options_columns(rel, trigger, &options[OPTION_WATCH], plan->watched, refusal))
		return false;
	for (int i = 0; i < natts; i++)
		plan->last_column = Max(plan->last_column, plan->watched[i] ? i + 1 : 0);
	return true;
}

/* A partition's events are its table's. */
static void
name_table(Relation rel, EventForm *form)
{
	Oid			root = RelationGetRelid(rel);

	if (rel->rd_rel->relispartition)
	{
		root = llast_oid(get_partition_ancestors(root));
		form->partition = pstrdup(RelationGetRelationName(rel));
	}
	form->schema = get_namespace_name(get_rel_namespace(root));
	form->table = get_rel_name(root);
}

/* NULL: refused. */
static TriggerPlan *
make_plan(Relation rel, const Trigger *trigger, Refusal *refusal)
{
	TriggerPlan *plan = palloc0(sizeof(TriggerPlan));
	Option		options[OPTIONS];

	memcpy(options, known_options, sizeof(options));
	if (!options_read(trigger, 2, options, OPTIONS, refusal))
		return NULL;
	plan->policy.raises = strcmp(options[OPTION_ON_ERROR].value, "raise") == 0;
	if (!check_combination(trigger, options, refusal) ||
		!find_columns(rel, trigger, options, plan, refusal))
		return NULL;
	if (trigger->tgnargs > 0 && trigger->tgargs[0][0] != '\0')
		plan->destination = trigger->tgargs[0];
	if (plan->destination != NULL && plan->destination_column > 0)
	{
		(void) refusal_set(refusal, ERRCODE_INVALID_PARAMETER_VALUE,
					  psprintf("trigger \"%s\" has both a destination and a destination_column", trigger->tgname),
					  NULL, "Create the trigger anew with '' for the destination, or without the other one.");
		return NULL;
	}
	plan->policy.destination_column = plan->destination_column;
	plan->policy.owner = trigger_names_owner(rel, trigger->tgoid);
	plan->form.trigger = pstrdup(trigger->tgname);
	plan->form.type = options[OPTION_TYPE].value;
	plan->form.shape = event_shape(options[OPTION_SHAPE].value);
	plan->form.name = options[OPTION_NAME].given ? options[OPTION_NAME].value : second_argument(trigger);
	/* only RudderStack's own events pass its gateway */
	plan->policy.enrich = event_has_user(&plan->form) ? options_enrichment(&options[OPTION_ENRICH]) : ENRICH_NO;
	plan->form.with_previous = strcmp(options[OPTION_PREVIOUS].value, "true") == 0;
	name_table(rel, &plan->form);
	return plan;
}

/* ---------------------------------------------------------------------
 * Rows
 * ---------------------------------------------------------------------
 */

/* What is being sent, by one call of the trigger. */
typedef struct TriggerFiring
{
	Firing		base;
	TriggerPlan *plan;
	TupleDesc	desc;
	ChangedRow	row;
} TriggerFiring;

static bool
is_same_value(Form_pg_attribute attribute, Datum a, Datum b)
{
	if (attribute->attlen == -1)
	{
		struct varlena *x = (struct varlena *) DatumGetPointer(a);
		struct varlena *y = (struct varlena *) DatumGetPointer(b);

		/* one that is stored elsewhere is not fetched to be compared with itself */
		if (VARATT_IS_EXTERNAL_ONDISK(x) && VARATT_IS_EXTERNAL_ONDISK(y) &&
			memcmp(x, y, VARSIZE_EXTERNAL(x)) == 0)
			return true;
	}
	return datum_image_eq(a, b, attribute->attbyval, attribute->attlen);
}

/* Has the update changed a column that counts? */
static bool
is_changed(const TriggerPlan *plan, TupleDesc desc, const ChangedRow *row)
{
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(desc, i);

		CHECK_FOR_INTERRUPTS();
		if (attribute->attisdropped || !plan->watched[i])
			continue;
		if (row->old_nulls[i] != row->new_nulls[i] ||
			(!row->old_nulls[i] && !is_same_value(attribute, row->old_values[i], row->new_values[i])))
			return true;
	}
	return false;
}

static char *
text_of(const TriggerFiring *firing, int column)
{
	const ChangedRow *row = &firing->row;
	bool		is_delete = row->operation == OPERATION_DELETE;

	return column == 0 ? NULL :
		rowjson_text(firing->desc, column, is_delete ? row->old_values : row->new_values,
					 is_delete ? row->old_nulls : row->new_nulls);
}

static Size
size_of(const TriggerFiring *firing, int column)
{
	const ChangedRow *row = &firing->row;
	bool		is_delete = row->operation == OPERATION_DELETE;

	return rowjson_column_size(firing->desc, column, is_delete ? row->old_values : row->new_values,
							   is_delete ? row->old_nulls : row->new_nulls);
}

static const char *
destination_of(const TriggerFiring *firing)
{
	const TriggerPlan *plan = firing->plan;

	return plan->destination_column > 0 ? text_of(firing, plan->destination_column) : plan->destination;
}

/* arg: a TriggerFiring */
static void
name_destination(void *arg)
{
	TriggerFiring *firing = arg;
	Refusal		ignored;

	if (accept_size(size_of(firing, firing->plan->destination_column), &ignored))
		firing->base.destination = destination_of(firing);
}

/* RudderStack's groups and aliases are nothing without these. */
static bool
check_ids(const TriggerFiring *firing, const EventIds *ids, Refusal *refusal)
{
	const TriggerPlan *plan = firing->plan;
	const struct
	{
		const char *type;
		const char *option;
		const char *value;
		int			column;
	}			needed[] = {
		{"group", "group_id", ids->group, plan->group_id},
		{"alias", "previous_id", ids->previous, plan->previous_id},
		{"alias", "user_id", ids->user, plan->user_id}
	};

	for (int i = 0; i < lengthof(needed); i++)
	{
		if (needed[i].value == NULL && event_is_of_type(&plan->form, needed[i].type))
			return refusal_set(refusal, ERRCODE_NULL_VALUE_NOT_ALLOWED,
							   psprintf("%s of an event of type %s must not be null", needed[i].option, needed[i].type),
							   psprintf("Column \"%s\" of relation \"%s\" is null.",
										NameStr(TupleDescAttr(firing->desc, needed[i].column - 1)->attname),
										RelationGetRelationName(firing->base.trigdata->tg_relation)), NULL);
	}
	return true;
}

/* arg: a TriggerFiring */
static void
prepare_row(void *arg)
{
	TriggerFiring *firing = arg;
	Firing	   *base = &firing->base;
	const TriggerPlan *plan = firing->plan;
	EventIds	ids = {
		.user = text_of(firing, plan->user_id),
		.anonymous = text_of(firing, plan->anonymous_id),
		.group = text_of(firing, plan->group_id),
		.previous = text_of(firing, plan->previous_id)
	};
	SendOptions options = {
		.destination = destination_of(firing),
		.ordering_key = plan->ordering_key > 0 ? text_of(firing, plan->ordering_key) :
		event_has_user(&plan->form) ? NULL : ids.user,
		.enrich = plan->policy.enrich
	};

	base->destination = options.destination;
	if (!check_ids(firing, &ids, &base->refusal))
		return;
	base->event = event_of_row(&plan->form, plan->rows, &firing->row, &ids, base->sending.now);
	base->accepted = send_prepare(&base->sending, base->event, &options, &base->prepared, &base->refusal);
}

/* What is sent of the row has at least so many bytes; what decides on it has no more. */
static Size
size_of_event(const TriggerFiring *firing)
{
	const TriggerPlan *plan = firing->plan;
	const ChangedRow *row = &firing->row;
	Size		user = size_of(firing, plan->user_id);
	Size		size = size_of(firing, plan->anonymous_id) + size_of(firing, plan->group_id) +
		size_of(firing, plan->previous_id);
	Size		beside = Max(size_of(firing, plan->ordering_key), size_of(firing, plan->destination_column));

	if (event_has_user(&plan->form))
		size += user;
	else
		beside = Max(beside, user);
	if (row->operation != OPERATION_DELETE)
		size += rowjson_size(plan->rows, row->new_values, row->new_nulls);
	if (row->operation == OPERATION_DELETE ||
		(row->operation == OPERATION_UPDATE && !row->unpaired && event_has_old(&plan->form)))
		size += rowjson_size(plan->rows, row->old_values, row->old_nulls);
	return Max(size, beside);
}

static void
fire_for_row(TriggerFiring *firing)
{
	TriggerPlan *plan = firing->plan;

	if (firing->row.operation == OPERATION_UPDATE && !firing->row.unpaired &&
		!is_changed(plan, firing->desc, &firing->row))
		return;
	firing->base.destination = plan->destination;
	firing_send(&firing->base, size_of_event(firing), prepare_row, name_destination);
}

static void
set_row(TupleTableSlot *slot, int last, Datum **values, bool **nulls)
{
	slot_getsomeattrs(slot, last);
	*values = slot->tts_values;
	*nulls = slot->tts_isnull;
}

/* ---------------------------------------------------------------------
 * The trigger
 * ---------------------------------------------------------------------
 */
static void
fire_each_row(TriggerFiring *firing)
{
	TriggerData *trigdata = firing->base.trigdata;
	int			last = firing->plan->last_column;
	ChangedRow *row = &firing->row;

	if (row->operation == OPERATION_INSERT)
		set_row(trigdata->tg_trigslot, last, &row->new_values, &row->new_nulls);
	else
		set_row(trigdata->tg_trigslot, last, &row->old_values, &row->old_nulls);
	if (row->operation == OPERATION_UPDATE)
		set_row(trigdata->tg_newslot, last, &row->new_values, &row->new_nulls);
	fire_for_row(firing);
}

/* Others may have read some of them before. */
static void
begin_reading(Tuplestorestate *rows)
{
	if (rows == NULL)
		return;
	tuplestore_select_read_pointer(rows, 0);
	tuplestore_rescan(rows);
}

static TupleTableSlot *
next_of(Tuplestorestate *rows, TupleTableSlot *slot)
{
	return rows != NULL && tuplestore_gettupleslot(rows, true, false, slot) ? slot : NULL;
}

/*
 * Old and new rows come in the same order; but where a trigger of a partition has kept
 * a row that was to move there, nobody knows which old one belongs to which new one.
 */
static void
fire_for_statement(TriggerFiring *firing)
{
	TriggerData *trigdata = firing->base.trigdata;
	int			last = firing->plan->last_column;
	ChangedRow *row = &firing->row;
	Tuplestorestate *old_rows = row->operation == OPERATION_INSERT ? NULL : trigdata->tg_oldtable;
	Tuplestorestate *new_rows = row->operation == OPERATION_DELETE ? NULL : trigdata->tg_newtable;
	TupleTableSlot *old_slot = MakeSingleTupleTableSlot(firing->desc, &TTSOpsMinimalTuple);
	TupleTableSlot *new_slot = MakeSingleTupleTableSlot(firing->desc, &TTSOpsMinimalTuple);
	bool		paired = old_rows != NULL && new_rows != NULL &&
		tuplestore_tuple_count(old_rows) == tuplestore_tuple_count(new_rows);
	TriggerOperation operation = row->operation;

	begin_reading(old_rows);
	begin_reading(new_rows);
	for (;;)
	{
		TupleTableSlot *old = operation == OPERATION_DELETE || paired ? next_of(old_rows, old_slot) : NULL;
		TupleTableSlot *new = operation == OPERATION_DELETE ? NULL : next_of(new_rows, new_slot);

		CHECK_FOR_INTERRUPTS();
		if (old == NULL && new == NULL)
			break;
		row->operation = operation;
		row->unpaired = operation == OPERATION_UPDATE && old == NULL;
		if (old != NULL)
			set_row(old, last, &row->old_values, &row->old_nulls);
		if (new != NULL)
			set_row(new, last, &row->new_values, &row->new_nulls);
		fire_for_row(firing);
	}
	ExecDropSingleTupleTableSlot(old_slot);
	ExecDropSingleTupleTableSlot(new_slot);
}

static TriggerOperation
operation_of(TriggerEvent event)
{
	return TRIGGER_FIRED_BY_INSERT(event) ? OPERATION_INSERT :
		TRIGGER_FIRED_BY_UPDATE(event) ? OPERATION_UPDATE : OPERATION_DELETE;
}

/* After a row was changed; or after a statement, with the tables of its rows. */
static bool
check_firing(Relation rel, const Trigger *trigger, Refusal *refusal)
{
	int16		type = trigger->tgtype;
	const char *detail = NULL;

	if (!TRIGGER_FOR_AFTER(type))
		detail = "It is fired AFTER a change.";
	else if (TRIGGER_FOR_TRUNCATE(type))
		detail = "It is fired by INSERT, UPDATE and DELETE: TRUNCATE has no rows.";
	else if (!TRIGGER_FOR_ROW(type) &&
			 ((TRIGGER_FOR_INSERT(type) || TRIGGER_FOR_UPDATE(type)) && trigger->tgnewtable == NULL))
		detail = "FOR EACH STATEMENT, it needs REFERENCING NEW TABLE, and of UPDATE OLD TABLE as well.";
	else if (!TRIGGER_FOR_ROW(type) &&
			 ((TRIGGER_FOR_DELETE(type) || TRIGGER_FOR_UPDATE(type)) && trigger->tgoldtable == NULL))
		detail = "FOR EACH STATEMENT, it needs REFERENCING OLD TABLE, and of UPDATE NEW TABLE as well.";
	if (!options_table(rel, trigger, refusal))
		return false;
	return detail == NULL ||
		refusal_set(refusal, ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED,
			   psprintf("trigger \"%s\" is not fired as rswebhook_trigger() needs it", trigger->tgname),
			   detail, "Create the trigger anew.");
}

/* The plan of a trigger lasts as long as what the executor knows of its function. */
static TriggerPlan *
get_plan(FunctionCallInfo fcinfo, const TriggerData *trigdata, Refusal *refusal)
{
	MemoryContext caller;

	if (fcinfo->flinfo->fn_extra == NULL)
	{
		caller = MemoryContextSwitchTo(fcinfo->flinfo->fn_mcxt);
		if (check_firing(trigdata->tg_relation, trigdata->tg_trigger, refusal))
			fcinfo->flinfo->fn_extra = make_plan(trigdata->tg_relation, trigdata->tg_trigger, refusal);
		MemoryContextSwitchTo(caller);
	}
	return fcinfo->flinfo->fn_extra;
}

bool
trigger_options_check(Relation rel, const Trigger *trigger, const char **destination, Refusal *refusal)
{
	TriggerPlan *plan = check_firing(rel, trigger, refusal) ? make_plan(rel, trigger, refusal) : NULL;

	*destination = plan == NULL ? NULL : plan->destination;
	return plan != NULL;
}

SQL_FUNCTION(rswebhook_trigger);

Datum
rswebhook_trigger(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata = firing_trigger(fcinfo, "rswebhook_trigger");
	Refusal		refusal;
	TriggerPlan *plan = get_plan(fcinfo, trigdata, &refusal);
	TriggerFiring firing = {.plan = plan, .base.trigdata = trigdata};

	if (plan == NULL)
		return firing_without_plan(trigdata, &refusal);
	firing.base.policy = &plan->policy;
	firing.desc = RelationGetDescr(trigdata->tg_relation);
	firing.row.operation = operation_of(trigdata->tg_event);
	if (!firing_begin(&firing.base, fcinfo, "rswebhook_trigger()"))
		return PointerGetDatum(NULL);
	if (TRIGGER_FIRED_FOR_ROW(trigdata->tg_event))
		fire_each_row(&firing);
	else
		fire_for_statement(&firing);
	firing_end(&firing.base);
	return PointerGetDatum(NULL);
}
