/*-------------------------------------------------------------------------
 *
 * columns.c
 *		The columns of our tables.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/encoding.h"
#include "tables/columns.h"
#include "tables/tables.h"

#define AS_COLUMN(number, name, type, sql_type, nullable) \
	[number] = {name, type, nullable},

const Column columns_of_event[EVENT_COLUMNS] = {
	EVENT_COLUMN_LIST(AS_COLUMN)
};

const Column columns_of_queue[QUEUE_COLUMNS] = {
	QUEUE_COLUMN_LIST(AS_COLUMN)
};

const Column columns_of_delivery[DELIVERY_COLUMNS] = {
	DELIVERY_COLUMN_LIST(AS_COLUMN)
};

const Column columns_of_message[MESSAGE_COLUMNS] = {
	MESSAGE_COLUMN_LIST(AS_COLUMN)
};

const Column columns_of_alert[ALERT_COLUMNS] = {
	ALERT_COLUMN_LIST(AS_COLUMN)
};

const Column columns_of_home[HOME_COLUMNS] = {
	HOME_COLUMN_LIST(AS_COLUMN)
};

const Column columns_of_untallied[UNTALLIED_COLUMNS] = {
	UNTALLIED_COLUMN_LIST(AS_COLUMN)
};

/* Text of unknown encoding; NULL: null. */
static void
set_text(Datum *value, bool *null, const char *text, size_t len)
{
	*null = text == NULL;
	*value = text == NULL ? (Datum) 0 : encoding_readable(text, len);
}

void
columns_delivery_row(const Outcome *o, Datum *values, bool *nulls)
{
	Interval   *duration = palloc0(sizeof(Interval));

	memset(nulls, 0, DELIVERY_COLUMNS * sizeof(bool));
	duration->time = o->duration_us;

	values[DELIVERY_SLOT] = Int16GetDatum(tables_ring_part(o->started_at));
	values[DELIVERY_RUN] = Int16GetDatum(o->claimed.run);
	values[DELIVERY_ATTEMPT] = Int32GetDatum(o->attempted ?
											 queue_row_next_attempt(&o->claimed) : o->claimed.attempts);
	values[DELIVERY_EVENT_ID] = Int64GetDatum(o->claimed.event_id);
	values[DELIVERY_DESTINATION_ID] = Int32GetDatum(o->claimed.destination_id);
	values[DELIVERY_STATUS] = Int32GetDatum(o->status);
	nulls[DELIVERY_STATUS] = o->status == 0;
	values[DELIVERY_STARTED_AT] = TimestampTzGetDatum(o->started_at);
	values[DELIVERY_DURATION] = IntervalPGetDatum(duration);
	values[DELIVERY_RETRY_AT] = TimestampTzGetDatum(o->retry_at);
	nulls[DELIVERY_RETRY_AT] = o->kind != VERDICT_RETRY;
	values[DELIVERY_OUTCOME] = CStringGetTextDatum(tables_outcome_name(o->kind));
	set_text(&values[DELIVERY_ERROR], &nulls[DELIVERY_ERROR],
			 o->error, o->error ? strlen(o->error) : 0);
	set_text(&values[DELIVERY_REQUEST], &nulls[DELIVERY_REQUEST],
			 o->request, o->request ? strlen(o->request) : 0);
	set_text(&values[DELIVERY_RESPONSE_BODY], &nulls[DELIVERY_RESPONSE_BODY],
			 o->response_body, o->response_body_len);
	set_text(&values[DELIVERY_TRACEPARENT], &nulls[DELIVERY_TRACEPARENT],
			 o->traceparent[0] != '\0' ? o->traceparent : NULL, strlen(o->traceparent));
}
