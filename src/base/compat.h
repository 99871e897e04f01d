/*-------------------------------------------------------------------------
 *
 * compat.h
 *		Every difference between the PostgreSQL and libcurl versions that we
 *		build on, behind names of the newest version where there is one.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_COMPAT_H
#define RSWEBHOOK_COMPAT_H

#if PG_VERSION_NUM < 130000
#error "rswebhook needs PostgreSQL 13 or later"
#endif

#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#endif

/* 18 has a name for the magic block that carries the version, too. */
#if PG_VERSION_NUM >= 180000
#define RSWEBHOOK_MODULE_MAGIC PG_MODULE_MAGIC_EXT(.name = "rswebhook", .version = RSWEBHOOK_VERSION)
#else
#define RSWEBHOOK_MODULE_MAGIC PG_MODULE_MAGIC
#endif

/* 15 requests shared memory in a hook, earlier versions in _PG_init. */
#if PG_VERSION_NUM >= 150000
#define at_shmem_request(fn, prev) \
	do { (prev) = shmem_request_hook; shmem_request_hook = (fn); } while (0)
#else
typedef void (*shmem_request_hook_type) (void);
#define at_shmem_request(fn, prev) \
	do { (prev) = NULL; (fn) (); } while (0)
#define MarkGUCPrefixReserved(prefix) EmitWarningsOnPlaceholders(prefix)
#endif

/* 15 has this in funcapi.h. */
#if PG_VERSION_NUM < 150000
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/tuplestore.h"
static inline void
InitMaterializedSRF(FunctionCallInfo fcinfo, bits32 flags)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	MemoryContext old;
	TupleDesc	desc;

	if (rsinfo == NULL || !IsA(rsinfo, ReturnSetInfo) ||
		(rsinfo->allowedModes & SFRM_Materialize) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("set-valued function called in context that cannot accept a set")));
	old = MemoryContextSwitchTo(rsinfo->econtext->ecxt_per_query_memory);
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	rsinfo->returnMode = SFRM_Materialize;
	rsinfo->setResult = tuplestore_begin_heap(true, false, work_mem);
	rsinfo->setDesc = desc;
	MemoryContextSwitchTo(old);
}
#endif

/* 14 has an argument more in the ProcessUtility hook. */
#if PG_VERSION_NUM >= 140000
#define READ_ONLY_TREE_PARAM	bool read_only_tree,
#define READ_ONLY_TREE			read_only_tree,
#else
#define READ_ONLY_TREE_PARAM
#define READ_ONLY_TREE
#endif

/* 16 has one function for all kinds of objects. */
#if PG_VERSION_NUM >= 160000
#define owns_database(oid, role) object_ownercheck(DatabaseRelationId, (oid), (role))
#else
#define owns_database(oid, role) pg_database_ownercheck((oid), (role))
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

/* 17 has wait event sets owned by a resource owner, NULL for the session. */
#if PG_VERSION_NUM >= 170000
#define create_session_wait_event_set(n) CreateWaitEventSet(NULL, (n))
#else
#define create_session_wait_event_set(n) CreateWaitEventSet(TopMemoryContext, (n))
#endif

/* Index entries of a row that was just inserted; needs executor/executor.h. */
#if PG_VERSION_NUM >= 160000
#define insert_index_tuples(info, slot, estate) \
	list_free(ExecInsertIndexTuples((info), (slot), (estate), false, false, NULL, NIL, false))
#elif PG_VERSION_NUM >= 140000
#define insert_index_tuples(info, slot, estate) \
	list_free(ExecInsertIndexTuples((info), (slot), (estate), false, false, NULL, NIL))
#else
#define insert_index_tuples(info, slot, estate) \
	((estate)->es_result_relation_info = (info), \
	 list_free(ExecInsertIndexTuples((slot), (estate), false, NULL, NIL)))
#endif

/* 18 counts for EXPLAIN, and knows of primary keys that are checked late. */
#if PG_VERSION_NUM >= 180000
#define begin_index_scan(rel, index, snapshot, nkeys) \
	index_beginscan((rel), (index), (snapshot), NULL, (nkeys), 0)
#define primary_key_of(rel) RelationGetPrimaryKeyIndex((rel), false)
#else
#define begin_index_scan(rel, index, snapshot, nkeys) \
	index_beginscan((rel), (index), (snapshot), (nkeys), 0)
#define primary_key_of(rel) RelationGetPrimaryKeyIndex(rel)
#endif

/* Partitions without those that are being detached concurrently, since 14. */
#if PG_VERSION_NUM >= 140000
#define current_partitions(rel) RelationGetPartitionDesc((rel), true)
#else
#define current_partitions(rel) RelationGetPartitionDesc(rel)
#endif

/* Before a declaration: it does not return. */
#if PG_VERSION_NUM < 180000
#define pg_noreturn		_Noreturn
#endif

/* 15 has time-outs that come again and again; before, a handler asks for the next. */
#if PG_VERSION_NUM >= 150000
#define TIMEOUT_EVERY	TMPARAM_EVERY
#define timeout_again(id, delay_ms) ((void) 0)
#else
#define TIMEOUT_EVERY	TMPARAM_AFTER
#define timeout_again(id, delay_ms) enable_timeout_after((id), (delay_ms))
#endif

/* A random number in [0, 1), good enough for jitter. */
#if PG_VERSION_NUM >= 150000
#include "common/pg_prng.h"
#define random_fraction() pg_prng_double(&pg_global_prng_state)
#else
#define random_fraction() ((double) random() / ((double) MAX_RANDOM_VALUE + 1))
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
