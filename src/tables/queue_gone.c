/*-------------------------------------------------------------------------
 *
 * queue_gone.c
 *		Rows of the queue that a statement deletes, rswebhook_cancel()'s or
 *		somebody's by hand.
 *
 * What waits for its retry is in the worker's memory, and its user's later events
 * wait behind it.  So the workers hear of it when its row is deleted.  They delete rows
 * themselves, but without a statement, and no trigger is fired by that (direct.c).
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "base/compat.h"
#include "shmem/share.h"
#include "shmem/wake.h"
#include "tables/columns.h"
#include "tables/queue_gone.h"

/* InvalidOid: it is not there. */
static Oid
our_function(void)
{
	oidvector  *arguments = buildoidvector(NULL, 0);
	Oid			namespace = get_namespace_oid("rswebhook", true);

	if (!OidIsValid(namespace))
		return InvalidOid;
	return GetSysCacheOid3(PROCNAMEARGSNSP, Anum_pg_proc_oid, CStringGetDatum("queue_gone"),
						   PointerGetDatum(arguments), ObjectIdGetDatum(namespace));
}

bool
queue_gone_is_all(const TriggerDesc *triggers)
{
	Oid			ours;

	if (triggers == NULL)
		return true;
	ours = our_function();
	for (int i = 0; i < triggers->numtriggers; i++)
	{
		if (triggers->triggers[i].tgfoid != ours || TRIGGER_FOR_ROW(triggers->triggers[i].tgtype))
			return false;
	}
	return true;
}

static void
note(int32 destination_id, int64 first_id, int64 last_id)
{
	wake_note_queued(&(QueuedRange) {destination_id, ALL_SHARES, first_id, last_id, 0, true}, NO_SHARE_MAP);
}

/* False: somebody has made other columns of them. */
static bool
note_rows(Tuplestorestate *rows, TupleDesc desc)
{
	int			destination_id = SPI_fnumber(desc, columns_of_queue[QUEUE_DESTINATION_ID].name);
	int			event_id = SPI_fnumber(desc, columns_of_queue[QUEUE_EVENT_ID].name);
	TupleTableSlot *slot;

	if (destination_id <= 0 || SPI_gettypeid(desc, destination_id) != INT4OID ||
		event_id <= 0 || SPI_gettypeid(desc, event_id) != INT8OID)
		return false;
	slot = MakeSingleTupleTableSlot(desc, &TTSOpsMinimalTuple);
	while (tuplestore_gettupleslot(rows, true, false, slot))
	{
		bool		nulls[2];
		int32		destination = DatumGetInt32(slot_getattr(slot, destination_id, &nulls[0]));
		int64		event = DatumGetInt64(slot_getattr(slot, event_id, &nulls[1]));

		CHECK_FOR_INTERRUPTS();
		if (!nulls[0] && !nulls[1])
			note(destination, event, event);
	}
	ExecDropSingleTupleTableSlot(slot);
	return true;
}

SQL_FUNCTION(rswebhook_queue_gone);

Datum
rswebhook_queue_gone(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo) ||
		!TRIGGER_FIRED_AFTER(trigdata->tg_event) ||
		!TRIGGER_FIRED_FOR_STATEMENT(trigdata->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("\"%s\" must be called as a statement trigger after a change",
						"rswebhook.queue_gone")));

	if (trigdata->tg_oldtable == NULL ||
		!note_rows(trigdata->tg_oldtable, RelationGetDescr(trigdata->tg_relation)))
		note(0, 0, PG_INT64_MAX);
	return PointerGetDatum(NULL);
}
