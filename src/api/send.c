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

#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#include "api/accept.h"
#include "api/once.h"
#include "api/send.h"
#include "api/store.h"
#include "base/compat.h"
#include "destination/directory.h"
#include "shmem/share.h"
#include "shmem/slots.h"
#include "shmem/wake.h"
#include "tables/tables.h"
#include "transform/json.h"

void
send_begin(Sending *sending, const char *what, Oid function, Oid role, bool many)
{
	PreventCommandIfReadOnly(what);
	PreventCommandIfParallelMode(what);
	sending->now = GetCurrentTimestamp();
	sending->sender = sender_of(function, role);
	sending->many = many;
	sending->store = NULL;
	sending->context = CurrentMemoryContext;
	/* a child of the caller's, so that an error leaves nothing behind */
	sending->each = AllocSetContextCreate(CurrentMemoryContext, "rswebhook send",
										  ALLOCSET_DEFAULT_SIZES);
}

bool
send_prepare(const Sending *sending, Datum event, const SendOptions *options, Prepared *prepared,
			 Refusal *refusal)
{
	NamedDestination dest;
	Refusal		denied;

	*prepared = (Prepared) {.event = event, .ordering_key = options->ordering_key};
	prepared->permitted = options->destination == NULL || sending->sender.everywhere;
	if (options->destination != NULL)
		prepared->permitted = accept_sender(options->destination, &sending->sender, &dest, &denied);
	prepared->checked = accept_event(event, options->enrich, sending->now, refusal);
	if (prepared->checked != NULL && gateway_is_wanted(options->enrich))
		prepared->event = JsonbPGetDatum(prepared->checked);
	/* whatever else is wrong: by this, rswebhook_replay_all() knows what it must not send */
	if (!prepared->permitted)
		*refusal = denied;
	if (!prepared->permitted || prepared->checked == NULL)
		return false;
	if (!accept_ordering_key(options->ordering_key, refusal) ||
		!accept_times(options, sending->now, &prepared->times, refusal))
		return false;
	if (options->destination == NULL)
		prepared->takers = accept_takers(prepared->checked, options->alert, &sending->sender, &prepared->count);
	else
		prepared->takers = accept_named(options->destination, &dest, &prepared->count, refusal);
	return (options->destination == NULL || prepared->takers != NULL) &&
		once_prepare(options->deduplicate, prepared, refusal);
}

int64
send_store(Sending *sending, const Prepared *prepared)
{
	if (prepared->count == 0)
		return 0;
	if (sending->store == NULL)
	{
		MemoryContext caller = MemoryContextSwitchTo(sending->context);

		sending->store = store_begin(sending->now, sending->many);
		MemoryContextSwitchTo(caller);
	}
	return store_add(sending->store, prepared);
}

void
send_end(Sending *sending)
{
	bool		stored = sending->store != NULL;

	if (stored)
		store_end(sending->store);
	sending->store = NULL;
	MemoryContextDelete(sending->each);
	if (stored)
		slots_warn_undelivered();
}

/* All arguments but the first. */
static void
read_options(FunctionCallInfo fcinfo, SendOptions *options, TimestampTz *deliver_after)
{
	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("event must not be null")));
	if (!PG_ARGISNULL(1))
		options->destination = text_to_cstring(PG_GETARG_TEXT_PP(1));
	if (!PG_ARGISNULL(2))
	{
		*deliver_after = PG_GETARG_TIMESTAMPTZ(2);
		options->deliver_after = deliver_after;
	}
	if (!PG_ARGISNULL(3))
		options->ordering_key = text_to_cstring(PG_GETARG_TEXT_PP(3));
	if (!PG_ARGISNULL(4))
		options->expires_after = PG_GETARG_INTERVAL_P(4);
	if (!PG_ARGISNULL(5))
		options->deduplicate = PG_GETARG_INTERVAL_P(5);
	if (!PG_ARGISNULL(6))
		options->enrich = PG_GETARG_BOOL(6) ? ENRICH_YES : ENRICH_NO;
}

/* The event's id, or null if no destination takes it. */
static Datum
send_one(FunctionCallInfo fcinfo, const char *what, const SendOptions *options)
{
	Sending		sending;
	Prepared	prepared;
	Refusal		refusal;
	int64		id;

	send_begin(&sending, what, fcinfo->flinfo->fn_oid, GetUserId(), false);
	MemoryContextSwitchTo(sending.each);
	if (!send_prepare(&sending, PG_GETARG_DATUM(0), options, &prepared, &refusal))
		refusal_report(&refusal, ERROR, NULL);
	id = send_store(&sending, &prepared);
	MemoryContextSwitchTo(sending.context);
	send_end(&sending);
	if (id == 0)
		PG_RETURN_NULL();
	PG_RETURN_INT64(id);
}

SQL_FUNCTION(rswebhook_send);

Datum
rswebhook_send(PG_FUNCTION_ARGS)
{
	SendOptions options = {0};
	TimestampTz deliver_after;

	read_options(fcinfo, &options, &deliver_after);
	return send_one(fcinfo, "rswebhook_send()", &options);
}

SQL_FUNCTION(rswebhook_send_alert);

/* An event about ourselves, never null. */
Datum
rswebhook_send_alert(PG_FUNCTION_ARGS)
{
	const SendOptions options = {.alert = true};

	return send_one(fcinfo, "rswebhook.send_alert()", &options);
}

/* The array itself, or RudderStack's object with one; NULL: neither. */
static JsonbContainer *
batch_of(Jsonb *events, const char **path)
{
	JsonbValue	value;

	*path = "$";
	if (JB_ROOT_IS_ARRAY(events) && !JB_ROOT_IS_SCALAR(events))
		return &events->root;
	*path = "$.batch";
	if (JB_ROOT_IS_OBJECT(events) &&
		getKeyJsonValueFromContainer(&events->root, "batch", strlen("batch"), &value) != NULL &&
		value.type == jbvBinary && JsonContainerIsArray(value.val.binary.data))
		return value.val.binary.data;
	return NULL;
}

/* Where an error is in a batch, as a jsonpath. */
typedef struct BatchPlace
{
	const char *path;
	int			index;
} BatchPlace;

static void
batch_error(void *arg)
{
	const BatchPlace *place = arg;

	errcontext("event %s[%d] of the batch", place->path, place->index);
}

static void
send_element(Sending *sending, const JsonbValue *element, const SendOptions *options,
			 ReturnSetInfo *rsinfo)
{
	Prepared	prepared;
	Refusal		refusal;
	Datum		id;
	bool		isnull;

	MemoryContextSwitchTo(sending->each);
	if (!send_prepare(sending, JsonbPGetDatum(JsonbValueToJsonb(unconstify(JsonbValue *, element))),
					  options, &prepared, &refusal))
		refusal_report(&refusal, ERROR, NULL);
	id = Int64GetDatum(send_store(sending, &prepared));
	isnull = DatumGetInt64(id) == 0;
	MemoryContextSwitchTo(sending->context);
	MemoryContextReset(sending->each);
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, &id, &isnull);
}

SQL_FUNCTION(rswebhook_send_batch);

Datum
rswebhook_send_batch(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	SendOptions options = {0};
	BatchPlace	place = {.index = 0};
	ErrorContextCallback callback;
	JsonbContainer *batch;
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue	value;
	TimestampTz deliver_after;
	Sending		sending;

	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	read_options(fcinfo, &options, &deliver_after);
	batch = batch_of(PG_GETARG_JSONB_P(0), &place.path);
	if (batch == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("events are neither a JSON array nor an object with an array \"batch\""),
				 js_is_quoted_json(PG_GETARG_JSONB_P(0)) ? errhint(JSON_QUOTED_HINT) : 0));
	send_begin(&sending, "rswebhook_send_batch()", fcinfo->flinfo->fn_oid, GetUserId(), true);
	callback.previous = error_context_stack;
	callback.callback = batch_error;
	callback.arg = &place;
	error_context_stack = &callback;
	it = JsonbIteratorInit(batch);
	while ((token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
	{
		CHECK_FOR_INTERRUPTS();
		if (token != WJB_ELEM)
			continue;
		send_element(&sending, &value, &options, rsinfo);
		place.index++;
	}
	error_context_stack = callback.previous;
	send_end(&sending);
	return (Datum) 0;
}

SQL_FUNCTION(rswebhook_notify_worker);

Datum
rswebhook_notify_worker(PG_FUNCTION_ARGS)
{
	int32		destination = PG_ARGISNULL(0) ? 0 : PG_GETARG_INT32(0);
	int64		first = PG_ARGISNULL(1) ? 0 : PG_GETARG_INT64(1);
	int64		last = PG_ARGISNULL(2) ? PG_INT64_MAX : PG_GETARG_INT64(2);

	slots_warn_undelivered();
	wake_note_changed();
	wake_note_queued(&(QueuedRange) {destination, ALL_SHARES, first, last, 0, false}, NO_SHARE_MAP);
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
