/*-------------------------------------------------------------------------
 *
 * send.c
 *		The SQL functions that enqueue an event.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "api/accept.h"
#include "api/send.h"
#include "api/store.h"
#include "base/compat.h"
#include "shmem/share.h"
#include "shmem/slots.h"
#include "shmem/wake.h"
#include "tables/tables.h"

bool
send_event(Datum event, const SendOptions *options, int64 *id)
{
	MemoryContext mine;
	MemoryContext caller;
	Jsonb	   *checked;
	Taker	   *takers;
	int			count;

	PreventCommandIfReadOnly("rswebhook_send()");
	PreventCommandIfParallelMode("rswebhook_send()");

	/* a child of the caller's, so that an error leaves nothing behind */
	mine = AllocSetContextCreate(CurrentMemoryContext, "rswebhook send",
								 ALLOCSET_DEFAULT_SIZES);
	caller = MemoryContextSwitchTo(mine);

	checked = accept_event(event);
	accept_ordering_key(options->ordering_key);
	if (options->destination != NULL)
		takers = accept_by_name(options->destination, &count);
	else
		takers = accept_by_filters(checked, &count);
	if (count > 0)
		*id = store_event(event, checked, options, takers, count);

	MemoryContextSwitchTo(caller);
	MemoryContextDelete(mine);

	if (count > 0 && !slots_available())
		slots_warn_unavailable();
	return count > 0;
}

SQL_FUNCTION(rswebhook_send);

Datum
rswebhook_send(PG_FUNCTION_ARGS)
{
	SendOptions options = {0};
	TimestampTz deliver_after;
	int64		id;

	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("event must not be null")));
	if (!PG_ARGISNULL(1))
		options.destination = text_to_cstring(PG_GETARG_TEXT_PP(1));
	if (!PG_ARGISNULL(2))
	{
		deliver_after = PG_GETARG_TIMESTAMPTZ(2);
		options.deliver_after = &deliver_after;
	}
	if (!PG_ARGISNULL(3))
		options.ordering_key = text_to_cstring(PG_GETARG_TEXT_PP(3));
	if (!PG_ARGISNULL(4))
		options.expires_after = PG_GETARG_INTERVAL_P(4);

	if (!send_event(PG_GETARG_DATUM(0), &options, &id))
		PG_RETURN_NULL();
	PG_RETURN_INT64(id);
}

SQL_FUNCTION(rswebhook_notify_worker);

Datum
rswebhook_notify_worker(PG_FUNCTION_ARGS)
{
	int32		destination = PG_ARGISNULL(0) ? 0 : PG_GETARG_INT32(0);
	int64		first = PG_ARGISNULL(1) ? 0 : PG_GETARG_INT64(1);
	int64		last = PG_ARGISNULL(2) ? PG_INT64_MAX : PG_GETARG_INT64(2);

	if (!slots_available())
		slots_warn_unavailable();
	wake_note_changed();
	wake_note_queued(&(QueuedRange) {destination, ALL_SHARES, first, last}, NO_SHARE_MAP);
	PG_RETURN_VOID();
}

SQL_FUNCTION(rswebhook_ordering_hash);

Datum
rswebhook_ordering_hash(PG_FUNCTION_ARGS)
{
	char	   *given = PG_ARGISNULL(1) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(1));
	int64		hash;

	if (PG_ARGISNULL(0) ||
		!accept_ordering_hash(PG_GETARG_JSONB_P(0), given, &hash))
		PG_RETURN_NULL();
	PG_RETURN_INT64(hash);
}

SQL_FUNCTION(rswebhook_ring_slot);

Datum
rswebhook_ring_slot(PG_FUNCTION_ARGS)
{
	TimestampTz at = PG_GETARG_TIMESTAMPTZ(0);

	if (TIMESTAMP_NOT_FINITE(at))
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("timestamp out of range")));
	PG_RETURN_INT16(tables_ring_part(at));
}
