/*-------------------------------------------------------------------------
 *
 * firing.c
 *		One call of a trigger of ours: what is sent of its rows, or refused.
 *
 * Events are enqueued in the transaction of the change and by the rights of the
 * table's owner, so whoever changes it needs no privilege of the extension.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/rls.h"
#include "utils/timestamp.h"

#include "api/firing.h"
#include "api/trigger_names.h"
#include "api/warn.h"
#include "base/encoding.h"

/* An event of less is not written out to know its size (request_check_size()). */
#define SMALL	(64 * 1024)

TriggerData *
firing_trigger(FunctionCallInfo fcinfo, const char *function)
{
	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("\"%s\" must be called as a trigger", function)));
	return (TriggerData *) fcinfo->context;
}

/* Is it "raise", as far as the arguments can be read? */
static bool
raises(const Trigger *trigger)
{
	for (int i = 0; i < trigger->tgnargs; i++)
	{
		if (strcmp(trigger->tgargs[i], "on_error=raise") == 0)
			return true;
	}
	return false;
}

/* What it names, by arguments of which others cannot be read. */
static const char *
named_destination(const Trigger *trigger)
{
	if (trigger_names_function(trigger->tgfoid) == OUR_TRIGGER)
		return trigger->tgnargs > 0 && trigger->tgargs[0][0] != '\0' ? trigger->tgargs[0] : NULL;
	for (int i = 0; i < trigger->tgnargs; i++)
	{
		if (strncmp(trigger->tgargs[i], "destination=", strlen("destination=")) == 0)
			return trigger->tgargs[i] + strlen("destination=");
	}
	return NULL;
}

Datum
firing_without_plan(TriggerData *trigdata, const Refusal *refusal)
{
	TriggerEvent event = trigdata->tg_event;

	warn_refused(raises(trigdata->tg_trigger), trigdata->tg_trigger, named_destination(trigdata->tg_trigger),
				 (Datum) 0, NULL, GetCurrentTimestamp(), false, refusal, refusal);
	/* before or instead of a change, what is returned is the row that becomes of it */
	if (!TRIGGER_FIRED_FOR_ROW(event) || TRIGGER_FIRED_AFTER(event))
		return PointerGetDatum(NULL);
	return PointerGetDatum(TRIGGER_FIRED_BY_UPDATE(event) ? trigdata->tg_newtuple : trigdata->tg_trigtuple);
}

bool
firing_begin(Firing *firing, FunctionCallInfo fcinfo, const char *function)
{
	static const Refusal read_only = {
		.sqlerrcode = ERRCODE_READ_ONLY_SQL_TRANSACTION,
		.message = "nothing can be sent in a read-only transaction"
	};

	/* it may write to a temporary table, and there is no record that could be written */
	if (XactReadOnly && !firing->policy->raises)
	{
		warn_once(firing->trigdata->tg_trigger, &read_only);
		return false;
	}
	send_begin(&firing->sending, function, fcinfo->flinfo->fn_oid, firing->policy->owner,
			   !TRIGGER_FIRED_FOR_ROW(firing->trigdata->tg_event));
	return true;
}

void
firing_end(Firing *firing)
{
	send_end(&firing->sending);
}

/* May whoever changes the table see these columns of the row? */
static bool
may_read(const Firing *firing, const Bitmapset *columns)
{
	Oid			relid = RelationGetRelid(firing->trigdata->tg_relation);
	int			column = -1;

	if (check_enable_rls(relid, InvalidOid, true) == RLS_ENABLED)
		return false;
	if (pg_class_aclcheck(relid, GetUserId(), ACL_SELECT) == ACLCHECK_OK)
		return true;
	while ((column = bms_next_member(columns, column)) >= 0)
	{
		if (pg_attribute_aclcheck(relid, column, GetUserId(), ACL_SELECT) != ACLCHECK_OK)
			return false;
	}
	return true;
}

void
firing_error_too_deep(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
			 errmsg("event is nested too deeply"),
			 errdetail("It takes more of the stack than max_stack_depth to read it."),
			 errhint("Nest its arrays and objects less deeply.")));
}

typedef struct Preparing
{
	Firing	   *firing;
	void		(*prepare) (void *firing);
} Preparing;

/*
 * How deep a value is nested is the row's own matter, as it may have been written under a
 * larger max_stack_depth; what a function of somebody's does is not.
 */
static void
prepare_as_deep(void *arg)
{
	Preparing  *preparing = arg;
	MemoryContext caller = CurrentMemoryContext;

	PG_TRY();
	{
		preparing->prepare(preparing->firing);
	}
	PG_CATCH();
	{
		if (geterrcode() != ERRCODE_STATEMENT_TOO_COMPLEX || preparing->firing->policy->may_fail)
			PG_RE_THROW();
		MemoryContextSwitchTo(caller);
		FlushErrorState();
		firing_error_too_deep();
	}
	PG_END_TRY();
}

/* Nearly always, nothing can fail that is not told instead.  openly: an error is told as it is. */
static void
prepare_event(Firing *firing, bool openly, Size size, void (*prepare) (void *firing), void (*name) (void *firing))
{
	const FiringPolicy *policy = firing->policy;
	Preparing	preparing = {firing, prepare};
	Refusal		ignored;

	firing->accepted = false;
	firing->event = (Datum) 0;
	firing->prepared = (Prepared) {0};
	if (!accept_size(size, &firing->refusal))
	{
		if (!policy->raises)
			(void) warn_try(name, firing, &ignored);	/* nothing else is fetched */
		return;
	}
	if (openly || (policy->trust.level == SEND_PLAIN && size < SMALL && !policy->may_fail))
		prepare(firing);
	else if (!warn_try(prepare_as_deep, &preparing, &firing->refusal))
	{
		firing->accepted = false;
		if (firing->destination == NULL && !policy->raises)
			(void) warn_try(name, firing, &ignored);
	}
}

/* A message without a value that it quotes. */
static const char *
without(const char *message, const char *value)
{
	const char *quoted = psprintf("\"%s\"", encoding_quotable(value, strlen(value)));
	const char *at = strstr(message, quoted);

	return at == NULL ? message :
		psprintf("%.*s\"***\"%s", (int) (at - message), message, at + strlen(quoted));
}

/* To whoever changes the table, without what is in columns that he may not read. */
static Refusal
refusal_to_tell(const Firing *firing)
{
	const FiringPolicy *policy = firing->policy;
	Refusal		told = firing->refusal;

	if (may_read(firing, policy->columns))
		return told;
	if (told.caught)
		(void) refusal_set(&told, told.sqlerrcode, "event could not be made of the row, or not be stored",
						   "What is wrong may quote columns that you may not read.",
						   policy->raises ? NULL : "The reason is in rswebhook.delivery.");
	if (told.detail_quotes)
		told.detail = "What is wrong with it may quote columns that you may not read.";
	if (told.value != NULL)
		told.message = without(told.message, told.value);
	told.hidden = policy->destination_column > 0 &&
		!may_read(firing, bms_make_singleton(policy->destination_column));
	if (told.hidden && firing->destination != NULL)
		told.message = without(told.message, firing->destination);
	return told;
}

static void
refuse(Firing *firing)
{
	Refusal		told = refusal_to_tell(firing);
	Datum		event = firing->prepared.event != (Datum) 0 ? firing->prepared.event : firing->event;
	bool		unknown = firing->refusal.caught && firing->prepared.event != (Datum) 0 && !firing->prepared.permitted;

	firing->refusal.not_enriched = firing->prepared.checked == NULL && gateway_is_wanted(firing->policy->enrich);
	warn_refused(firing->policy->raises, firing->trigdata->tg_trigger, firing->destination, event,
				 firing->prepared.ordering_key, firing->sending.now, unknown, &firing->refusal, &told);
}

void
firing_send(Firing *firing, Size size, void (*prepare) (void *firing), void (*name) (void *firing))
{
	FiringPolicy *policy = firing->policy;
	MemoryContext caller = MemoryContextSwitchTo(firing->sending.each);
	bool		openly = policy->raises && may_read(firing, policy->columns);

	if (!openly)
		warn_doubt(&policy->trust, firing->sending.now);
	prepare_event(firing, openly, size, prepare, name);
	if (firing->accepted)
		firing->accepted = warn_store(openly, &policy->trust, &firing->sending, &firing->prepared, &firing->refusal);
	if (!firing->accepted)
		refuse(firing);
	MemoryContextSwitchTo(caller);
	MemoryContextReset(firing->sending.each);
}
