/*-------------------------------------------------------------------------
 *
 * rswebhook.c
 *		Module entry: the magic block, the settings, and what must be set up
 *		while the postmaster preloads us.
 *
 * Without shared_preload_libraries everything but delivery works: the SQL
 * functions enqueue and say with a WARNING why nothing will be delivered yet.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <limits.h>

#include "access/xact.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/guc.h"

#include "api/accept.h"
#include "api/gateway.h"
#include "api/store.h"
#include "api/trace.h"
#include "base/compat.h"
#include "destination/secret.h"
#include "http/guard.h"
#include "shmem/share.h"
#include "shmem/shmem.h"
#include "shmem/slots.h"
#include "shmem/wake.h"
#include "tables/home.h"
#include "tables/tables.h"
#include "transform/request.h"
#include "worker/alerts.h"
#include "worker/attempt.h"
#include "worker/lanes.h"
#include "worker/launcher.h"
#include "worker/session.h"
#include "worker/worker.h"

RSWEBHOOK_MODULE_MAGIC;

extern PGDLLEXPORT void _PG_init(void);

static char *blocked_networks = NULL;
static char *allowed_networks = NULL;

static const struct config_enum_entry enabled_options[] = {
	{"on", DELIVERY_ON, false},
	{"off", DELIVERY_OFF, false},
	{"sink", DELIVERY_SINK, false},
	{"true", DELIVERY_ON, true},
	{"false", DELIVERY_OFF, true},
	{"yes", DELIVERY_ON, true},
	{"no", DELIVERY_OFF, true},
	{"1", DELIVERY_ON, true},
	{"0", DELIVERY_OFF, true},
	{NULL, 0, false}
};

static const struct config_enum_entry synchronous_commit_options[] = {
	{"local", SYNCHRONOUS_COMMIT_LOCAL_FLUSH, false},
	{"remote_write", SYNCHRONOUS_COMMIT_REMOTE_WRITE, false},
	{"remote_apply", SYNCHRONOUS_COMMIT_REMOTE_APPLY, false},
	{"on", SYNCHRONOUS_COMMIT_REMOTE_FLUSH, false},
	{"off", SYNCHRONOUS_COMMIT_OFF, false},
	{NULL, 0, false}
};

static bool
check_user_agent(char **newval, void **extra, GucSource source)
{
	const char *problem = request_header_value_problem(*newval, strlen(*newval));

	if (strlen(*newval) > MAX_USER_AGENT)
	{
		GUC_check_errdetail("It has %zu bytes; at most %d are allowed.",
							strlen(*newval), MAX_USER_AGENT);
		return false;
	}
	if (problem == NULL)
		return true;
	GUC_check_errdetail("It becomes a header, and %s.", problem);
	return false;
}

static bool
check_secret_sources(char **newval, void **extra, GucSource source)
{
	char	   *problem = secret_sources_problem(*newval);

	if (problem == NULL)
		return true;
	GUC_check_errdetail("%s", problem);
	return false;
}

static bool
check_networks(char **newval, void **extra, GucSource source)
{
	GuardList	list;
	char		why[256];

	if (guard_parse(*newval, &list, why, sizeof(why)))
		return true;
	GUC_check_errdetail("%s", why);
	return false;
}

/*
 * The assign hooks put a list into force at once, so that a reload reaches
 * the very next connection.  The value has passed the check above.
 */
static void
assign_blocked_networks(const char *newval, void *extra)
{
	guard_set_blocked(newval);
}

static void
assign_allowed_networks(const char *newval, void *extra)
{
	guard_set_allowed(newval);
}

static void
define_limits(void)
{
	DefineCustomIntVariable("rswebhook.max_event_size",
							"Largest event that rswebhook_send() accepts.",
							"Bytes of the event's jsonb form.",
							&rswebhook_max_event_size,
							1024 * 1024, 1024, 64 * 1024 * 1024,
							PGC_SUSET, GUC_UNIT_BYTE, NULL, NULL, NULL);

	DefineCustomIntVariable("rswebhook.max_request_size",
							"Largest request that is made of an event.",
							"Bytes of its body; rswebhook_send() refuses an event that would have a larger one.",
							&rswebhook_max_request_size,
							4 * 1024 * 1024, 64 * 1024, 256 * 1024 * 1024,
							PGC_SIGHUP, GUC_UNIT_BYTE, NULL, NULL, NULL);

	DefineCustomIntVariable("rswebhook.response_body_limit",
							"Bytes of an answer's body that are kept in rswebhook.delivery.",
							"Counted after decompression.",
							&rswebhook_response_body_limit,
							4096, 0, 1024 * 1024,
							PGC_SIGHUP, GUC_UNIT_BYTE, NULL, NULL, NULL);

	DefineCustomIntVariable("rswebhook.max_in_flight",
							"Requests that a worker has in flight at once to destinations that answer.",
							"Those to destinations that are new or hang have up to five times as many places beside these; each takes a socket.",
							&rswebhook_max_in_flight,
							1000, 1, 10000,
							PGC_SIGHUP, 0, NULL, NULL, NULL);

	DefineCustomIntVariable("rswebhook.max_in_flight_size",
							"Events that a worker has in flight at once, by their size.",
							"One that does not fit can be in flight beside them; the worker takes about three times this memory.",
							&rswebhook_max_in_flight_size,
							64 * 1024, 1024, MAX_KILOBYTES,
							PGC_SIGHUP, GUC_UNIT_KB, NULL, NULL, NULL);

	DefineCustomIntVariable("rswebhook.retention",
							"How long events and deliveries are kept.",
							"An event that is still owed is kept however old it is.",
							&rswebhook_retention,
							7 * SECS_PER_DAY, SECS_PER_HOUR, 365 * SECS_PER_DAY,
							PGC_SIGHUP, GUC_UNIT_S, NULL, NULL, NULL);
}

static void
define_delivery(void)
{
	/* SUSET, so that it can be set for a database; what a session sets is nothing to the workers */
	DefineCustomEnumVariable("rswebhook.enabled",
							 "Whether what is queued is delivered.",
							 "With off, events are queued all the same, and wait; with sink, it is recorded that they would be sent, and nothing is.",
							 &rswebhook_enabled,
							 DELIVERY_ON,
							 enabled_options,
							 PGC_SUSET, 0, NULL, NULL, NULL);

	DefineCustomIntVariable("rswebhook.connection_lifetime",
							"How long a connection that is kept is used for new requests.",
							"A name that has moved is followed after so long at the latest; with 0, each connection serves one request.",
							&rswebhook_connection_lifetime,
							10 * 60 * 1000, 0, 24 * 60 * 60 * 1000,
							PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);

	DefineCustomStringVariable("rswebhook.user_agent",
							   "User-Agent of requests whose destination and event set none.",
							   NULL,
							   &rswebhook_user_agent,
							   "RudderLabs",
							   PGC_SIGHUP, 0, check_user_agent, NULL, NULL);

	DefineCustomEnumVariable("rswebhook.synchronous_commit",
							 "How durable the record of an attempt is before the worker goes on.",
							 "With off, a crash of the server can repeat the last attempts.",
							 &rswebhook_synchronous_commit,
							 SYNCHRONOUS_COMMIT_LOCAL_FLUSH,
							 synchronous_commit_options,
							 PGC_SIGHUP, 0, NULL, NULL, NULL);
}

/* Of what a table sends, it is not for whoever changes the table to have some refused. */
static void
define_sending(void)
{
	DefineCustomBoolVariable("rswebhook.enrich",
							 "Whether events get what RudderStack's gateway adds to them.",
							 "Unless the call, or the trigger, says so itself.",
							 &rswebhook_enrich,
							 false,
							 PGC_SUSET, 0, NULL, NULL, NULL);

	DefineCustomStringVariable("rswebhook.traceparent",
							   "The trace that events which are sent belong to, as W3C's traceparent.",
							   "It is for SET LOCAL; an event's own context.traceparent wins.",
							   &rswebhook_traceparent,
							   "",
							   PGC_USERSET, 0, NULL, NULL, NULL);
}

static void
define_security(void)
{
	DefineCustomStringVariable("rswebhook.blocked_networks",
							   "Networks that no request may go to, whatever its name or redirect.",
							   "A list of addresses and CIDR ranges; default and strict stand for lists of their own.",
							   &blocked_networks,
							   "default",
							   PGC_SIGHUP, GUC_SUPERUSER_ONLY,
							   check_networks, assign_blocked_networks, NULL);

	DefineCustomStringVariable("rswebhook.allowed_networks",
							   "Exceptions from rswebhook.blocked_networks.",
							   NULL,
							   &allowed_networks,
							   "",
							   PGC_SIGHUP, GUC_SUPERUSER_ONLY,
							   check_networks, assign_allowed_networks, NULL);

	DefineCustomStringVariable("rswebhook.secret_sources",
							   "Environment variables and files that may hold secrets of destinations.",
							   "A list of env, env:PREFIX, file and file:/directory.",
							   &rswebhook_secret_sources,
							   "",
							   PGC_SIGHUP, GUC_SUPERUSER_ONLY,
							   check_secret_sources, NULL, NULL);
}

static void
define_alerts(void)
{
	DefineCustomIntVariable("rswebhook.alert_interval",
							"The least time between two alerts of one kind about one destination.",
							"What comes again within it is counted, and told of together.",
							&rswebhook_alert_interval,
							5 * SECS_PER_MINUTE, 1, SECS_PER_DAY,
							PGC_SIGHUP, GUC_UNIT_S, NULL, NULL, NULL);

	DefineCustomIntVariable("rswebhook.alert_failures",
							"After so many failed attempts in a row, a destination is told of as failing.",
							NULL,
							&rswebhook_alert_failures,
							10, 1, 10000,
							PGC_SIGHUP, 0, NULL, NULL, NULL);

	DefineCustomIntVariable("rswebhook.alert_queue_age",
							"When an event has been owed for so long, that is told of.",
							"With 0, it is not.",
							&rswebhook_alert_queue_age,
							SECS_PER_HOUR, 0, 365 * SECS_PER_DAY,
							PGC_SIGHUP, GUC_UNIT_S, NULL, NULL, NULL);
}

/* These can only be defined while preloading, and mean nothing otherwise. */
static void
define_processes(void)
{
	DefineCustomIntVariable("rswebhook.workers",
							"Workers that deliver for a database.",
							"A destination is served by one of them, or by as many as its column workers says.",
							&rswebhook_workers,
							1, 1, MAX_SHARES,
							PGC_POSTMASTER, 0, NULL, NULL, NULL);

	DefineCustomIntVariable("rswebhook.max_databases",
							"Databases of the cluster that can have workers.",
							NULL,
							&rswebhook_max_databases,
							64, 1, 10000,
							PGC_POSTMASTER, 0, NULL, NULL, NULL);
}

static void
define_settings(void)
{
	define_limits();
	define_sending();
	define_delivery();
	define_security();
	define_alerts();
	if (process_shared_preload_libraries_in_progress)
		define_processes();
	MarkGUCPrefixReserved("rswebhook");
}

void
_PG_init(void)
{
	define_settings();
	wake_register_callbacks();
	store_register_callbacks();

	/* pg_upgrade must see no worker that touches what it moves */
	if (!process_shared_preload_libraries_in_progress || IsBinaryUpgrade)
		return;

	shmem_init();
	launcher_register();
}
