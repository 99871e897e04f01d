/*-------------------------------------------------------------------------
 *
 * compat.h
 *		Every difference between the PostgreSQL versions that we build on, 15 to
 *		19, behind names of the newest version where there is one.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_COMPAT_H
#define RSWEBHOOK_COMPAT_H

#if PG_VERSION_NUM < 150000
#error "rswebhook needs PostgreSQL 15 or later"
#endif

/* 16 took this out of postgres.h. */
#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#endif

/* 18 has a name for the magic block that carries the version, too. */
#if PG_VERSION_NUM >= 180000
#define RSWEBHOOK_MODULE_MAGIC PG_MODULE_MAGIC_EXT(.name = "rswebhook", .version = RSWEBHOOK_VERSION)
#else
#define RSWEBHOOK_MODULE_MAGIC PG_MODULE_MAGIC
#endif

/*
 * What PostgreSQL finds by its name is exported, and all else hidden; 16 sees to
 * that by itself.
 */
#if PG_VERSION_NUM < 160000
#undef PGDLLEXPORT
#define PGDLLEXPORT __attribute__((visibility("default")))
#endif
#ifndef SQL_FUNCTION
#define SQL_FUNCTION(name) \
	extern PGDLLEXPORT Datum name(PG_FUNCTION_ARGS); \
	PG_FUNCTION_INFO_V1(name)
#endif

/* 16 has one function for all kinds of objects. */
#if PG_VERSION_NUM >= 160000
#define owns_database(oid, role) object_ownercheck(DatabaseRelationId, (oid), (role))
#define may_use_schema(oid, role) \
	(object_aclcheck(NamespaceRelationId, (oid), (role), ACL_USAGE) == ACLCHECK_OK)
#else
#define owns_database(oid, role) pg_database_ownercheck((oid), (role))
#define may_use_schema(oid, role) (pg_namespace_aclcheck((oid), (role), ACL_USAGE) == ACLCHECK_OK)
#endif

/* Names for pg_stat_activity.wait_event since 17, "Extension" before. */
#if PG_VERSION_NUM >= 170000
#include "utils/wait_event.h"
#define custom_wait_event(cache, name) \
	((cache) != 0 ? (cache) : ((cache) = WaitEventExtensionNew(name)))
#else
#include "pgstat.h"
#define custom_wait_event(cache, name) ((void) (cache), PG_WAIT_EXTENSION)
#endif

/* Of all databases; 19 asks which. Needs storage/procarray.h. */
#if PG_VERSION_NUM >= 190000
#define get_oldest_active_xid() GetOldestActiveTransactionId(false, true)
#else
#define get_oldest_active_xid() GetOldestActiveTransactionId()
#endif

/* 17 has wait event sets owned by a resource owner, NULL for the session. */
#if PG_VERSION_NUM >= 170000
#define create_session_wait_event_set(n) CreateWaitEventSet(NULL, (n))
#else
#define create_session_wait_event_set(n) CreateWaitEventSet(TopMemoryContext, (n))
#endif

/*
 * Index entries of a row that was just inserted; needs executor/executor.h.  16
 * asks whether summarizing indexes are enough, 19 has flags for what it asked.
 */
#if PG_VERSION_NUM >= 190000
#define insert_index_tuples(info, slot, estate) \
	list_free(ExecInsertIndexTuples((info), (estate), 0, (slot), NIL, NULL))
#elif PG_VERSION_NUM >= 160000
#define insert_index_tuples(info, slot, estate) \
	list_free(ExecInsertIndexTuples((info), (slot), (estate), false, false, NULL, NIL, false))
#else
#define insert_index_tuples(info, slot, estate) \
	list_free(ExecInsertIndexTuples((info), (slot), (estate), false, false, NULL, NIL))
#endif

/* 19 has flags for what a scan is about to do. */
#if PG_VERSION_NUM >= 190000
#define begin_table_scan(rel, snapshot) \
	table_beginscan((rel), (snapshot), 0, NULL, SO_NONE)
#else
#define begin_table_scan(rel, snapshot) \
	table_beginscan((rel), (snapshot), 0, NULL)
#endif

/* 18 counts for EXPLAIN; 19 has the flags here, too. */
#if PG_VERSION_NUM >= 190000
#define begin_index_scan(rel, index, snapshot, nkeys) \
	index_beginscan((rel), (index), (snapshot), NULL, (nkeys), 0, SO_NONE)
#elif PG_VERSION_NUM >= 180000
#define begin_index_scan(rel, index, snapshot, nkeys) \
	index_beginscan((rel), (index), (snapshot), NULL, (nkeys), 0)
#else
#define begin_index_scan(rel, index, snapshot, nkeys) \
	index_beginscan((rel), (index), (snapshot), (nkeys), 0)
#endif

/* Without waiting; 19 has flags for what was a bool at the end. */
#if PG_VERSION_NUM >= 190000
#define delete_tuple(rel, tid, snapshot, failure) \
	table_tuple_delete((rel), (tid), GetCurrentCommandId(true), 0, \
					   (snapshot), InvalidSnapshot, false, (failure))
#else
#define delete_tuple(rel, tid, snapshot, failure) \
	table_tuple_delete((rel), (tid), GetCurrentCommandId(true), \
					   (snapshot), InvalidSnapshot, false, (failure), false)
#endif

/* 18 knows of primary keys that are checked late. */
#if PG_VERSION_NUM >= 180000
#define primary_key_of(rel) RelationGetPrimaryKeyIndex((rel), false)
#else
#define primary_key_of(rel) RelationGetPrimaryKeyIndex(rel)
#endif

/* A hash table in shared memory that holds that many; 19 makes no other. */
#if PG_VERSION_NUM >= 190000
#define init_shared_hash(name, n, info, flags) \
	ShmemInitHash((name), (n), (info), (flags))
#else
#define init_shared_hash(name, n, info, flags) \
	ShmemInitHash((name), (n), (n), (info), (flags))
#endif

/* 19 keeps the value that comes of it beside the state that builds it. */
#if PG_VERSION_NUM < 190000
#include "utils/jsonb.h"
typedef struct JsonbInState
{
	JsonbValue *result;
	JsonbParseState *parseState;
} JsonbInState;

static inline void
push_jsonb_value(JsonbInState *state, JsonbIteratorToken token, JsonbValue *value)
{
	state->result = pushJsonbValue(&state->parseState, token, value);
}
#define pushJsonbValue(state, token, value) push_jsonb_value((state), (token), (value))
#endif

/*
 * False if it cannot be read as a time; since 16 the type's own input function
 * can say so.
 */
#if PG_VERSION_NUM >= 160000
#include "nodes/miscnodes.h"
#include "utils/fmgrprotos.h"
#include "utils/timestamp.h"
#else
#include "utils/datetime.h"
#endif

static inline bool
timestamptz_from_text(char *text, TimestampTz *time)
{
#if PG_VERSION_NUM >= 160000
	ErrorSaveContext context = {.type = T_ErrorSaveContext};
	Datum		value;

	if (!DirectInputFunctionCallSafe(timestamptz_in, text, InvalidOid, -1,
									 (Node *) &context, &value))
		return false;
	*time = DatumGetTimestampTz(value);
	return true;
#else
	char		work[MAXDATELEN + MAXDATEFIELDS];
	char	   *fields[MAXDATEFIELDS];
	int			types[MAXDATEFIELDS];
	int			nfields;
	int			type;
	struct pg_tm tm;
	fsec_t		fraction;
	int			zone;

	return ParseDateTime(text, work, sizeof(work), fields, types, MAXDATEFIELDS, &nfields) == 0 &&
		DecodeDateTime(fields, types, nfields, &type, &tm, &fraction, &zone) == 0 &&
		type == DTK_DATE && tm2timestamp(&tm, fraction, &zone, time) == 0;
#endif
}

/* 18 has it before a declaration: it does not return. */
#if PG_VERSION_NUM < 180000
#define pg_noreturn		_Noreturn
#endif

/*
 * Injection points, in servers that were built with them: since 17, with an
 * argument since 18.
 */
#ifdef USE_INJECTION_POINTS
#include "utils/injection_point.h"
#if PG_VERSION_NUM >= 180000
#define server_injection_point(name) INJECTION_POINT(name, NULL)
#else
#define server_injection_point(name) INJECTION_POINT(name)
#endif
#else
#define server_injection_point(name) ((void) 0)
#endif

#endif							/* RSWEBHOOK_COMPAT_H */
