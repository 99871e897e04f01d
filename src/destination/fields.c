/*-------------------------------------------------------------------------
 *
 * fields.c
 *		The fields of a row of rswebhook.destination, as they are.
 *
 * Columns are found by name, so that their order does not matter; one that is
 * not there reads as null.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "parser/parse_coerce.h"
#include "utils/builtins.h"

#include "destination/fields.h"

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

char *
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

bool
row_bool(const Row *row, const char *column)
{
	Datum		value;

	return row_value(row, column, &value) && DatumGetBool(value);
}

int32
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
