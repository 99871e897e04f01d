/*-------------------------------------------------------------------------
 *
 * columns.h
 *		The columns of our tables, each once: what is a statement's text, what a
 *		row is checked against and what is written to it derive from here.
 *
 * They are in the order in which the extension's script creates them.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_COLUMNS_H
#define RSWEBHOOK_COLUMNS_H

#include "tables/values.h"

/* Its number (from 0), name, type, the type in SQL, and may it be null? */
#define EVENT_COLUMN_LIST(COLUMN) \
	COLUMN(EVENT_ID, "id", INT8OID, "int8", false) \
	COLUMN(EVENT_CREATED_AT, "created_at", TIMESTAMPTZOID, "timestamptz", false) \
	COLUMN(EVENT_NONCE, "nonce", INT8OID, "int8", true) \
	COLUMN(EVENT_SLOT, "slot", INT2OID, "int2", false) \
	COLUMN(EVENT_ORDERING_KEY, "ordering_key", TEXTOID, "text", true) \
	COLUMN(EVENT_EVENT, "event", JSONBOID, "jsonb", false) \
	COLUMN(EVENT_TRACEPARENT, "traceparent", TEXTOID, "text", true)

#define QUEUE_COLUMN_LIST(COLUMN) \
	COLUMN(QUEUE_DESTINATION_ID, "destination_id", INT4OID, "int4", false) \
	COLUMN(QUEUE_ATTEMPTS, "attempts", INT4OID, "int4", false) \
	COLUMN(QUEUE_EVENT_ID, "event_id", INT8OID, "int8", false) \
	COLUMN(QUEUE_QUEUED_AT, "queued_at", TIMESTAMPTZOID, "timestamptz", false) \
	COLUMN(QUEUE_ORDERING_KEY, "ordering_key", INT8OID, "int8", true) \
	COLUMN(QUEUE_EVENT_SLOT, "event_slot", INT2OID, "int2", false) \
	COLUMN(QUEUE_RUN, "run", INT2OID, "int2", false) \
	COLUMN(QUEUE_DELIVER_AFTER, "deliver_after", TIMESTAMPTZOID, "timestamptz", true) \
	COLUMN(QUEUE_EXPIRES_AT, "expires_at", TIMESTAMPTZOID, "timestamptz", true) \
	COLUMN(QUEUE_FIRST_ATTEMPT_AT, "first_attempt_at", TIMESTAMPTZOID, "timestamptz", true) \
	COLUMN(QUEUE_RETRY_AT, "retry_at", TIMESTAMPTZOID, "timestamptz", true)

#define DELIVERY_COLUMN_LIST(COLUMN) \
	COLUMN(DELIVERY_SLOT, "slot", INT2OID, "int2", false) \
	COLUMN(DELIVERY_RUN, "run", INT2OID, "int2", false) \
	COLUMN(DELIVERY_ATTEMPT, "attempt", INT4OID, "int4", false) \
	COLUMN(DELIVERY_EVENT_ID, "event_id", INT8OID, "int8", false) \
	COLUMN(DELIVERY_DESTINATION_ID, "destination_id", INT4OID, "int4", false) \
	COLUMN(DELIVERY_STATUS, "status", INT4OID, "int4", true) \
	COLUMN(DELIVERY_STARTED_AT, "started_at", TIMESTAMPTZOID, "timestamptz", false) \
	COLUMN(DELIVERY_DURATION, "duration", INTERVALOID, "interval", false) \
	COLUMN(DELIVERY_RETRY_AT, "retry_at", TIMESTAMPTZOID, "timestamptz", true) \
	COLUMN(DELIVERY_OUTCOME, "outcome", TEXTOID, "text", false) \
	COLUMN(DELIVERY_ERROR, "error", TEXTOID, "text", true) \
	COLUMN(DELIVERY_REQUEST, "request", TEXTOID, "text", true) \
	COLUMN(DELIVERY_RESPONSE_BODY, "response_body", TEXTOID, "text", true) \
	COLUMN(DELIVERY_TRACEPARENT, "traceparent", TEXTOID, "text", true)

#define MESSAGE_COLUMN_LIST(COLUMN) \
	COLUMN(MESSAGE_DESTINATION_ID, "destination_id", INT4OID, "int4", false) \
	COLUMN(MESSAGE_HASH, "hash", UUIDOID, "uuid", false) \
	COLUMN(MESSAGE_EVENT_ID, "event_id", INT8OID, "int8", false) \
	COLUMN(MESSAGE_NOTED_AT, "noted_at", TIMESTAMPTZOID, "timestamptz", false) \
	COLUMN(MESSAGE_EXPIRES_AT, "expires_at", TIMESTAMPTZOID, "timestamptz", false)

/* Those that senders write; the others have defaults. */
#define ALERT_COLUMN_LIST(COLUMN) \
	COLUMN(ALERT_KIND, "kind", TEXTOID, "text", false) \
	COLUMN(ALERT_DESTINATION_ID, "destination_id", INT4OID, "int4", false) \
	COLUMN(ALERT_EVENT_ID, "event_id", INT8OID, "int8", true) \
	COLUMN(ALERT_MESSAGE, "message", TEXTOID, "text", false)

#define HOME_COLUMN_LIST(COLUMN) \
	COLUMN(HOME_SYSTEM_IDENTIFIER, "system_identifier", INT8OID, "int8", false) \
	COLUMN(HOME_DATABASE_OID, "database_oid", OIDOID, "oid", false) \
	COLUMN(HOME_CLUSTER_NAME, "cluster_name", TEXTOID, "text", true)

#define UNTALLIED_COLUMN_LIST(COLUMN) \
	COLUMN(UNTALLIED_AT, "at", TIMESTAMPTZOID, "timestamptz", false) \
	COLUMN(UNTALLIED_DESTINATION_IDS, "destination_ids", INT4ARRAYOID, "int4[]", false) \
	COLUMN(UNTALLIED_WHATS, "whats", INT2ARRAYOID, "int2[]", false) \
	COLUMN(UNTALLIED_COUNTS, "counts", INT4ARRAYOID, "int4[]", false) \
	COLUMN(UNTALLIED_ERROR_IDS, "error_ids", INT4ARRAYOID, "int4[]", true) \
	COLUMN(UNTALLIED_ERRORS, "errors", TEXTARRAYOID, "text[]", true)

#define AS_NUMBER(number, name, type, sql_type, nullable) number,

enum
{
	EVENT_COLUMN_LIST(AS_NUMBER)
	EVENT_COLUMNS
};

enum
{
	QUEUE_COLUMN_LIST(AS_NUMBER)
	QUEUE_COLUMNS
};

enum
{
	DELIVERY_COLUMN_LIST(AS_NUMBER)
	DELIVERY_COLUMNS
};

enum
{
	MESSAGE_COLUMN_LIST(AS_NUMBER)
	MESSAGE_COLUMNS
};

enum
{
	ALERT_COLUMN_LIST(AS_NUMBER)
	ALERT_COLUMNS
};

enum
{
	HOME_COLUMN_LIST(AS_NUMBER)
	HOME_COLUMNS
};

enum
{
	UNTALLIED_COLUMN_LIST(AS_NUMBER)
	UNTALLIED_COLUMNS
};

typedef struct Column
{
	const char *name;
	Oid			type;
	bool		nullable;
} Column;

extern const Column columns_of_event[EVENT_COLUMNS];
extern const Column columns_of_queue[QUEUE_COLUMNS];
extern const Column columns_of_delivery[DELIVERY_COLUMNS];
extern const Column columns_of_message[MESSAGE_COLUMNS];
extern const Column columns_of_alert[ALERT_COLUMNS];
extern const Column columns_of_home[HOME_COLUMNS];
extern const Column columns_of_untallied[UNTALLIED_COLUMNS];

/* The row of rswebhook.delivery for an outcome; in the current memory context. */
extern void columns_delivery_row(const Outcome *outcome, Datum *values, bool *nulls);

#endif							/* RSWEBHOOK_COLUMNS_H */
