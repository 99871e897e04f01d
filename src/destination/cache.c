/*-------------------------------------------------------------------------
 *
 * cache.c
 *		A row of rswebhook.destination -> validated, cached configuration.
 *
 * The cache is this process's own and holds all rows, since a fan-out asks
 * for all of them anyway.  It is read straight from the table: no privilege
 * of the current user, no search_path and no plan is involved.
 *
 * When it is read again.  Any change of the table queues a relcache
 * invalidation, which reaches every process at commit, and this one at the end
 * of each command and when the change is rolled back.  A read takes a snapshot
 * of its own that is newer than the last invalidation seen; the statement's
 * could be older, and its answer would then be kept for good.  So
 * configuration is always the newest, in a REPEATABLE READ transaction too.
 *
 * Two kinds of a read are good for a while only: one among this transaction's
 * own changes of the table must go if any of them is rolled back (the
 * invalidation may not have been queued yet), and one in parallel mode, where
 * no new snapshot can be taken, must go with the transaction.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "parser/parse_coerce.h"
#include "parser/scansup.h"
#include "storage/lmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "destination/auth.h"
#include "destination/cache.h"
#include "destination/fields.h"
#include "destination/secret.h"
#include "destination/values.h"
#include "shmem/wake.h"
#include "tables/tables.h"

typedef struct Row
{
	HeapTuple	tuple;
	TupleDesc	desc;
} Row;

static struct
{
	MemoryContext context;		/* NULL: nothing cached */
	Destination **by_id;
	Destination **by_name;
	int			count;
	uint64		generation;
	uint64		read_at;		/* invalidations when it was read */
	bool		own_changes;	/* read among changes of this transaction */
	bool		parallel;		/* read in parallel mode */
}			cache;

static Oid	destination_relid = InvalidOid;
static uint64 invalidations = 1;
static MemoryContext replaced = NULL;	/* parent of old caches; NULL: nobody
										 * keeps them */

/* ---------------------------------------------------------------------
 * Reading a row.  Columns are found by name, so that their order does not
 * matter; one that is not there reads as null.
 * ---------------------------------------------------------------------
 */
static const struct
{
	const char *name;
	Oid			type;
}			column_types[] = {
	{"id", INT4OID},
	{"name", TEXTOID},
	{"url", TEXTOID},
	{"method", TEXTOID},
	{"headers", JSONBOID},
	{"auth_type", TEXTOID},
	{"auth_username", TEXTOID},
	{"auth_password", TEXTOID},
	{"auth_token", TEXTOID},
	{"auth_header", TEXTOID},
	{"signing_secrets", JSONBOID},
	{"allowed_hosts", TEXTARRAYOID},
	{"event_auth_headers", BOOLOID},
	{"enabled", BOOLOID},
	{"paused", BOOLOID},
	{"types", TEXTARRAYOID},
	{"events", TEXTARRAYOID},
	{"ordered", BOOLOID},
	{"max_in_flight", INT4OID},
	{"rate_limit", FLOAT8OID},
	{"connect_timeout", INTERVALOID},
	{"timeout", INTERVALOID},
	{"low_speed_limit", INT4OID},
	{"low_speed_time", INTERVALOID},
	{"max_redirects", INT4OID},
	{"ca_cert", TEXTOID},
	{"client_cert", TEXTOID},
	{"client_key", TEXTOID},
	{"proxy", TEXTOID},
	{"no_proxy", TEXTOID},
	{"status_outcomes", JSONBOID},
	{"min_backoff", INTERVALOID},
	{"max_backoff", INTERVALOID},
	{"retry_after_factor", FLOAT4OID},
	{"retry_window", INTERVALOID},
	{"min_attempts", INT4OID},
	{"breaker_failures", INT4OID},
	{"expires_after", INTERVALOID}
};

void
destination_columns_check(TupleDesc desc)
{
	for (int i = 0; i < lengthof(column_types); i++)
	{
		const char *name = column_types[i].name;
		Oid			wanted = column_types[i].type;
		int			attnum = SPI_fnumber(desc, name);
		Oid			type;

		if (attnum <= 0)
			continue;
		type = TupleDescAttr(desc, attnum - 1)->atttypid;
		if (!IsBinaryCoercible(type, wanted))
			ereport(ERROR,
					(errcode(ERRCODE_DATATYPE_MISMATCH),
					 errmsg("column \"%s\" of relation \"rswebhook.destination\" is of type %s",
							name, format_type_be(type)),
					 errdetail("It was made as %s, and is read as that.", format_type_be(wanted)),
					 errhint("Change it back with ALTER TABLE rswebhook.destination ALTER COLUMN %s TYPE %s.",
							 name, format_type_be(wanted))));
	}
}

static bool
row_value(const Row *row, const char *column, Datum *value)
{
	int			attnum = SPI_fnumber(row->desc, column);
	bool		isnull;

	if (attnum <= 0)
		return false;
	*value = heap_getattr(row->tuple, attnum, row->desc, &isnull);
	return !isnull;
}

static char *
row_text(const Row *row, const char *column)
{
	Datum		value;

	return row_value(row, column, &value) ? TextDatumGetCString(value) : NULL;
}

static Jsonb *
row_jsonb(const Row *row, const char *column)
{
	Datum		value;

	return row_value(row, column, &value) ? DatumGetJsonbPCopy(value) : NULL;
}

static ArrayType *
row_array(const Row *row, const char *column)
{
	Datum		value;

	return row_value(row, column, &value) ? DatumGetArrayTypePCopy(value) : NULL;
}

static bool
row_bool(const Row *row, const char *column)
{
	Datum		value;

	return row_value(row, column, &value) && DatumGetBool(value);
}

static int32
row_int(const Row *row, const char *column)
{
	Datum		value;

	return row_value(row, column, &value) ? DatumGetInt32(value) : 0;
}

double
interval_us(const Interval *interval)
{
	return (double) interval->time +
		((double) interval->month * DAYS_PER_MONTH + interval->day) * USECS_PER_DAY;
}

static double
row_number(const Row *row, const char *column)
{
	return destination_number(row->tuple, row->desc, column);
}

void
destination_fields_read(HeapTuple tuple, TupleDesc desc, DestinationFields *fields)
{
	Row			row = {tuple, desc};

	fields->name = row_text(&row, "name");
	fields->url = row_text(&row, "url");
	fields->method = row_text(&row, "method");
	fields->headers = row_jsonb(&row, "headers");
	fields->types = row_array(&row, "types");
	fields->events = row_array(&row, "events");
	fields->ca_cert = row_text(&row, "ca_cert");
	fields->client_cert = row_text(&row, "client_cert");
	fields->client_key = row_text(&row, "client_key");
	fields->proxy = row_text(&row, "proxy");
	fields->auth_type = row_text(&row, "auth_type");
	fields->auth_username = row_text(&row, "auth_username");
	fields->auth_password = row_text(&row, "auth_password");
	fields->auth_token = row_text(&row, "auth_token");
	fields->auth_header = row_text(&row, "auth_header");
	fields->allowed_hosts = row_array(&row, "allowed_hosts");
	fields->signing_secrets = row_jsonb(&row, "signing_secrets");
	fields->status_outcomes = row_jsonb(&row, "status_outcomes");
}

char *
fold_message_type(const char *type, int len)
{
	char	   *folded;

	while (len > 0 && scanner_isspace(type[0]))
		type++, len--;
	while (len > 0 && scanner_isspace(type[len - 1]))
		len--;
	folded = pnstrdup(type, len);
	for (char *c = folded; *c; c++)
		*c = pg_ascii_tolower((unsigned char) *c);
	return folded;
}

static char **
string_list(ArrayType *array, bool fold, int *count)
{
	Datum	   *elements;
	char	  **list;

	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &elements, NULL, count);
	list = palloc(Max(*count, 1) * sizeof(char *));
	for (int i = 0; i < *count; i++)
	{
		list[i] = TextDatumGetCString(elements[i]);
		if (fold)
			list[i] = fold_message_type(list[i], strlen(list[i]));
	}
	return list;
}

/* A secret that has passed the check, or NULL. */
static Secret *
read_secret(const char *text)
{
	const char *problem;

	return text != NULL ? secret_from_text(text, &problem) : NULL;
}

static Destination *
read_destination(const Row *row)
{
	Destination *dest = palloc0(sizeof(Destination));
	DestinationFields fields;
	FieldProblem problem;

	destination_fields_read(row->tuple, row->desc, &fields);

	dest->id = row_int(row, "id");
	dest->name = fields.name ? fields.name : "";
	dest->url = fields.url ? fields.url : "";
	dest->method = fields.method ? fields.method : "POST";
	dest->enabled = row_bool(row, "enabled");
	dest->paused = row_bool(row, "paused");
	dest->ordered = row_bool(row, "ordered");
	dest->max_in_flight = (int) row_number(row, "max_in_flight");
	dest->rate_limit = row_number(row, "rate_limit");

	dest->connect_timeout_ms = (int) (row_number(row, "connect_timeout") / 1e3);
	dest->timeout_ms = (int) (row_number(row, "timeout") / 1e3);
	dest->low_speed_limit = (int) row_number(row, "low_speed_limit");
	dest->low_speed_time_s = (int) (row_number(row, "low_speed_time") / 1e6);
	dest->max_redirects = (int) row_number(row, "max_redirects");
	dest->ca_cert = fields.ca_cert;
	dest->no_proxy = row_text(row, "no_proxy");

	dest->min_backoff_us = (int64) row_number(row, "min_backoff");
	dest->max_backoff_us = (int64) row_number(row, "max_backoff");
	dest->retry_after_factor = row_number(row, "retry_after_factor");
	dest->retry_window_us = (int64) row_number(row, "retry_window");
	dest->min_attempts = (int) row_number(row, "min_attempts");
	dest->breaker_failures = (int) row_number(row, "breaker_failures");
	dest->expires_after_us = (int64) row_number(row, "expires_after");

	if (!destination_ranges_check(row->tuple, row->desc, &problem) ||
		!destination_fields_check(&fields, &problem))
	{
		dest->problem = psprintf("Column \"%s\" is invalid: %s",
								 problem.column, problem.detail);
		return dest;
	}

	dest->client_cert = read_secret(fields.client_cert);
	dest->client_key = read_secret(fields.client_key);
	dest->proxy = read_secret(fields.proxy);
	auth_read(&fields, &dest->auth);
	dest->event_auth_headers = row_bool(row, "event_auth_headers");
	destination_configs(dest, fields.headers);
	if (fields.allowed_hosts)
		dest->allowed_hosts = string_list(fields.allowed_hosts, false, &dest->nallowed_hosts);
	if (fields.signing_secrets)
		signing_secrets_read(fields.signing_secrets, &dest->signing_secrets,
							 &dest->nsigning_secrets);
	if (fields.types)
		dest->types = string_list(fields.types, true, &dest->ntypes);
	if (fields.events)
		dest->events = string_list(fields.events, false, &dest->nevents);
	if (fields.status_outcomes)
		status_outcomes_read(fields.status_outcomes, &dest->status_outcomes,
							 &dest->nstatus_outcomes);
	return dest;
}

/* ---------------------------------------------------------------------
 * The cache
 * ---------------------------------------------------------------------
 */
static void
relcache_callback(Datum arg, Oid relid)
{
	if (relid == destination_relid || relid == InvalidOid)
		invalidations++;
}

static void
xact_callback(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PREPARE:
			if (cache.own_changes || cache.parallel)
				invalidations++;
			break;
		case XACT_EVENT_COMMIT:
			if (cache.parallel)
				invalidations++;
			break;
		default:
			return;
	}
	cache.own_changes = false;
	cache.parallel = false;
}

static void
subxact_callback(SubXactEvent event, SubTransactionId mine,
				 SubTransactionId parent, void *arg)
{
	if (event == SUBXACT_EVENT_ABORT_SUB && cache.own_changes)
		invalidations++;
}

static int
compare_ids(const void *a, const void *b)
{
	int32		x = (*(Destination *const *) a)->id;
	int32		y = (*(Destination *const *) b)->id;

	return (x > y) - (x < y);
}

static int
compare_names(const void *a, const void *b)
{
	return strcmp((*(Destination *const *) a)->name, (*(Destination *const *) b)->name);
}

/* All rows, in the current memory context. */
static List *
read_table(Relation rel, Snapshot snapshot)
{
	List	   *list = NIL;
	SysScanDesc scan;
	HeapTuple	tuple;

	destination_columns_check(RelationGetDescr(rel));
	scan = systable_beginscan(rel, InvalidOid, false, snapshot, 0, NULL);
	while ((tuple = systable_getnext(scan)) != NULL)
	{
		Row			row = {tuple, RelationGetDescr(rel)};

		CHECK_FOR_INTERRUPTS();
		list = lappend(list, read_destination(&row));
	}
	systable_endscan(scan);
	return list;
}

/* Put what was read in the place of what was cached. */
static void
replace_cache(MemoryContext context, List *list)
{
	ListCell   *cell;
	int			count = 0;
	Destination **by_id = palloc((list_length(list) + 1) * sizeof(Destination *));
	Destination **by_name = palloc((list_length(list) + 1) * sizeof(Destination *));

	foreach(cell, list)
	{
		by_id[count] = by_name[count] = (Destination *) lfirst(cell);
		count++;
	}
	qsort(by_id, count, sizeof(Destination *), compare_ids);
	qsort(by_name, count, sizeof(Destination *), compare_names);

	/* from here on nothing can fail */
	MemoryContextSetParent(context, TopMemoryContext);
	if (cache.context != NULL && replaced != NULL)
		MemoryContextSetParent(cache.context, replaced);
	else if (cache.context != NULL)
		MemoryContextDelete(cache.context);
	cache.context = context;
	cache.by_id = by_id;
	cache.by_name = by_name;
	cache.count = count;
	cache.generation++;
}

static void
read_cache(void)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "rswebhook destinations",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(context);
	bool		parallel = IsInParallelMode();
	uint64		seen;
	Relation	rel;
	Snapshot	snapshot;

	destination_relid = extension_relation("destination");
	rel = table_open(destination_relid, AccessShareLock);

	/* whatever arrives after the snapshot was taken makes it stale at once */
	seen = invalidations;
	snapshot = RegisterSnapshot(parallel ? GetActiveSnapshot() : GetLatestSnapshot());
	replace_cache(context, read_table(rel, snapshot));
	UnregisterSnapshot(snapshot);

	cache.read_at = seen;
	cache.parallel = parallel;
	cache.own_changes = CheckRelationLockedByMe(rel, RowExclusiveLock, true);
	table_close(rel, AccessShareLock);
	MemoryContextSwitchTo(caller);
}

static void
refresh_cache(void)
{
	static bool registered = false;

	if (!registered)
	{
		CacheRegisterRelcacheCallback(relcache_callback, (Datum) 0);
		RegisterXactCallback(xact_callback, NULL);
		RegisterSubXactCallback(subxact_callback, NULL);
		registered = true;
	}

	/* a long transaction hears of changes, too */
	AcceptInvalidationMessages();
	if (cache.context == NULL || cache.read_at != invalidations ||
		(cache.parallel && !IsInParallelMode()))
		read_cache();
}

Destination *
destination_by_name(const char *name)
{
	Destination key = {.name = unconstify(char *, name)};
	Destination *keyp = &key;
	Destination **found;

	refresh_cache();
	found = bsearch(&keyp, cache.by_name, cache.count, sizeof(Destination *), compare_names);
	return found ? *found : NULL;
}

Destination *
destination_by_id(int32 id)
{
	Destination key = {.id = id};
	Destination *keyp = &key;
	Destination **found;

	refresh_cache();
	found = bsearch(&keyp, cache.by_id, cache.count, sizeof(Destination *), compare_ids);
	return found ? *found : NULL;
}

void
destination_all(Destination ***list, int *count)
{
	refresh_cache();
	*list = cache.by_id;
	*count = cache.count;
}

uint64
destination_generation(void)
{
	return cache.generation;
}

void
destination_keep_replaced(void)
{
	replaced = AllocSetContextCreate(TopMemoryContext,
									 "rswebhook replaced destinations",
									 ALLOCSET_SMALL_SIZES);
}

void
destination_free_replaced(void)
{
	MemoryContextDeleteChildren(replaced);
}

void
destination_forget(void)
{
	invalidations++;
}

PG_FUNCTION_INFO_V1(rswebhook_destination_changed);

Datum
rswebhook_destination_changed(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo) ||
		!TRIGGER_FIRED_AFTER(trigdata->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("\"%s\" must be called as a trigger after a change",
						"rswebhook.destination_changed")));

	CacheInvalidateRelcache(trigdata->tg_relation);
	wake_note_changed();
	return PointerGetDatum(NULL);
}
