/*-------------------------------------------------------------------------
 *
 * fields.c
 *		The fields of a row of rswebhook.destination, as they are.
 *
 * Columns are found by name, so that their order does not matter.  All must be
 * there: what is not would read as null, and be sent without credentials, say.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/detoast.h"
#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "parser/parse_coerce.h"
#include "utils/builtins.h"

#include "destination/fields.h"
#include "destination/values.h"

#define KB(n)		((n) * 1024)
#define MAX_WORD	(NAMEDATALEN - 1)

/*
 * What the script has made of the table.  The bounds are also in its CHECK
 * constraints: a worker has all of its rows in its memory.
 */
static const struct
{
	const char *name;
	Oid			type;
	bool		required;		/* never null */
	const char *value;			/* the default, NULL: none */
	int			max_bytes;		/* of a type without a fixed size, as it is in
								 * memory, else 0 */
}			column_types[] = {
	{"id", INT4OID, true, NULL, 0},
	{"name", TEXTOID, true, NULL, MAX_WORD},
	{"url", TEXTOID, true, NULL, KB(8)},
	{"method", TEXTOID, true, "'POST'", KB(1)},
	{"headers", JSONBOID, true, "'{}'", KB(128)},
	{"auth_type", TEXTOID, true, "'none'", MAX_WORD},
	{"auth_username", TEXTOID, false, NULL, KB(1)},
	{"auth_password", TEXTOID, false, NULL, KB(64)},
	{"auth_token", TEXTOID, false, NULL, KB(64)},
	{"auth_header", TEXTOID, false, NULL, KB(1)},
	{"signing_secrets", JSONBOID, true, "'[]'", KB(16)},
	{"header_mapping", JSONBOID, false, NULL, KB(64)},
	{"query_mapping", JSONBOID, false, NULL, KB(64)},
	{"path_parts", JSONBOID, false, NULL, KB(16)},
	{"body_mapping", JSONBOID, false, NULL, KB(128)},
	{"format", TEXTOID, true, "'json'", MAX_WORD},
	{"xml_root", TEXTOID, false, NULL, 255},
	{"allowed_hosts", TEXTARRAYOID, false, NULL, KB(64)},
	{"event_auth_headers", BOOLOID, true, "false", 0},
	{"enabled", BOOLOID, true, "true", 0},
	{"paused", BOOLOID, true, "false", 0},
	{"types", TEXTARRAYOID, false, NULL, KB(64)},
	{"events", TEXTARRAYOID, false, NULL, KB(64)},
	{"excluded_events", TEXTARRAYOID, false, NULL, KB(64)},
	{"filter", JSONPATHOID, false, NULL, KB(16)},
	{"consent", JSONBOID, false, NULL, KB(64)},
	{"deduplicate", INTERVALOID, false, NULL, 0},
	{"ordered", BOOLOID, true, "true", 0},
	{"max_in_flight", INT4OID, true, "32", 0},
	{"rate_limit", FLOAT8OID, false, NULL, 0},
	{"workers", INT4OID, true, "1", 0},
	{"connect_timeout", INTERVALOID, true, "'3 s'", 0},
	{"timeout", INTERVALOID, true, "'10 s'", 0},
	{"low_speed_limit", INT4OID, true, "10", 0},
	{"low_speed_time", INTERVALOID, true, "'30 s'", 0},
	{"max_redirects", INT4OID, true, "0", 0},
	{"ca_cert", TEXTOID, false, NULL, KB(512)},
	{"client_cert", TEXTOID, false, NULL, KB(64)},
	{"client_key", TEXTOID, false, NULL, KB(64)},
	{"proxy", TEXTOID, false, NULL, KB(8)},
	{"no_proxy", TEXTOID, false, NULL, KB(64)},
	{"status_outcomes", JSONBOID, true, "'{}'", KB(32)},
	{"min_backoff", INTERVALOID, true, "'10 s'", 0},
	{"max_backoff", INTERVALOID, true, "'5 min'", 0},
	{"retry_after_factor", FLOAT4OID, true, "4", 0},
	{"retry_window", INTERVALOID, true, "'3 h'", 0},
	{"min_attempts", INT4OID, true, "3", 0},
	{"breaker_failures", INT4OID, true, "16", 0},
	{"expires_after", INTERVALOID, false, NULL, 0},
	{"disable_after", INTERVALOID, false, NULL, 0}
};

/* How a column is made anew.  One that has no default is filled before it is used. */
static char *
column_definition(int i)
{
	const char *type = format_type_be(column_types[i].type);

	return column_types[i].value == NULL ? psprintf("%s %s", column_types[i].name, type) :
		psprintf("%s %s NOT NULL DEFAULT %s", column_types[i].name, type, column_types[i].value);
}

/* The first column that is not as it was made, -1: none.  type: invalid if it is not there. */
static int
changed_column(TupleDesc desc, Oid *type)
{
	for (int i = 0; i < lengthof(column_types); i++)
	{
		int			attnum = SPI_fnumber(desc, column_types[i].name);

		*type = attnum > 0 ? TupleDescAttr(desc, attnum - 1)->atttypid : InvalidOid;
		if (attnum <= 0 || !IsBinaryCoercible(*type, column_types[i].type))
			return i;
	}
	return -1;
}

static char *
column_problem(int i, Oid type)
{
	const char *name = column_types[i].name;

	return !OidIsValid(type) ?
		psprintf("column \"%s\" of relation \"rswebhook.destination\" does not exist", name) :
		psprintf("column \"%s\" of relation \"rswebhook.destination\" is of type %s",
				 name, format_type_be(type));
}

char *
fields_columns_problem(TupleDesc desc)
{
	Oid			type;
	int			i = changed_column(desc, &type);

	return i < 0 ? NULL : column_problem(i, type);
}

void
destination_columns_check(TupleDesc desc)
{
	Oid			type;
	int			i = changed_column(desc, &type);
	const char *name;
	char	   *wanted;

	if (i < 0)
		return;
	name = column_types[i].name;
	wanted = format_type_be(column_types[i].type);
	if (!OidIsValid(type))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg_internal("%s", column_problem(i, type)),
				 errdetail("No destination can be used without it, and what is owed waits."),
				 errhint("If it was renamed, rename it back with ALTER TABLE rswebhook.destination RENAME COLUMN ... TO %s, else ADD COLUMN %s.",
						 name, column_definition(i))));
	ereport(ERROR,
			(errcode(ERRCODE_DATATYPE_MISMATCH),
			 errmsg_internal("%s", column_problem(i, type)),
			 errdetail("It was made as %s, and is read as that.", wanted),
			 errhint("Change it back with ALTER TABLE rswebhook.destination ALTER COLUMN %s TYPE %s.",
					 name, wanted)));
}

/*
 * Each column of a row is asked for several times, always by the same literals, and a
 * search by name is most of what it takes to read a row.
 */
int
fields_number(TupleDesc desc, const char *column)
{
	static struct
	{
		const char *column;
		int			attnum;
	}			hints[256];
	uintptr_t	address = (uintptr_t) column;
	int			place = (address ^ (address >> 8)) % lengthof(hints);
	int			attnum = hints[place].attnum;

	if (hints[place].column == column && attnum > 0 && attnum <= desc->natts &&
		!TupleDescAttr(desc, attnum - 1)->attisdropped &&
		strcmp(NameStr(TupleDescAttr(desc, attnum - 1)->attname), column) == 0)
		return attnum;
	attnum = SPI_fnumber(desc, column);
	hints[place].column = column;
	hints[place].attnum = attnum;
	return attnum;
}

bool
destination_column_required(const char *name)
{
	for (int i = 0; i < lengthof(column_types); i++)
	{
		if (strcmp(column_types[i].name, name) == 0)
			return column_types[i].required;
	}
	return false;
}

bool
destination_nulls_check(HeapTuple tuple, TupleDesc desc, FieldProblem *problem)
{
	for (int i = 0; i < lengthof(column_types); i++)
	{
		if (column_types[i].required &&
			heap_attisnull(tuple, fields_number(desc, column_types[i].name), desc))
			return problem_set(problem, column_types[i].name, NULL, "It must not be null.", NULL);
	}
	return true;
}

static bool
row_value(const Row *row, const char *column, Datum *value)
{
	bool		isnull;

	*value = heap_getattr(row->tuple, fields_number(row->desc, column), row->desc, &isnull);
	return !isnull;
}

/* Its size without the header, which is known before it is decompressed or fetched. */
static bool
fits(Datum value, int max_bytes, Size *size)
{
	*size = toast_raw_datum_size(value) - VARHDRSZ;
	return *size <= (Size) max_bytes;
}

bool
destination_sizes_check(HeapTuple tuple, TupleDesc desc, FieldProblem *problem)
{
	const Row	row = {tuple, desc};
	Datum		value;
	Size		size;

	for (int i = 0; i < lengthof(column_types); i++)
	{
		int			max_bytes = column_types[i].max_bytes;

		if (max_bytes > 0 && row_value(&row, column_types[i].name, &value) &&
			!fits(value, max_bytes, &size))
			return problem_set(problem, column_types[i].name, NULL,
							   psprintf("The value has %zu bytes; at most %d are allowed.", size, max_bytes),
							   NULL);
	}
	return true;
}

/* What does not fit is as if it were null: it is not even looked at. */
static bool
row_fitting_value(const Row *row, const char *column, Datum *value)
{
	Size		size;

	for (int i = 0; i < lengthof(column_types); i++)
	{
		if (strcmp(column_types[i].name, column) == 0)
			return row_value(row, column, value) &&
				fits(*value, column_types[i].max_bytes, &size);
	}
	elog(ERROR, "column \"%s\" is not known", column);
}

char *
fields_text(const Row *row, const char *column)
{
	Datum		value;

	return row_fitting_value(row, column, &value) ? TextDatumGetCString(value) : NULL;
}

Jsonb *
fields_jsonb(const Row *row, const char *column)
{
	Datum		value;

	return row_fitting_value(row, column, &value) ? DatumGetJsonbPCopy(value) : NULL;
}

JsonPath *
fields_jsonpath(const Row *row, const char *column)
{
	Datum		value;

	return row_fitting_value(row, column, &value) ? DatumGetJsonPathPCopy(value) : NULL;
}

ArrayType *
fields_array(const Row *row, const char *column)
{
	Datum		value;

	return row_fitting_value(row, column, &value) ? DatumGetArrayTypePCopy(value) : NULL;
}

bool
fields_bool(const Row *row, const char *column)
{
	Datum		value;

	return row_value(row, column, &value) && DatumGetBool(value);
}

int32
fields_int(const Row *row, const char *column)
{
	Datum		value;

	return row_value(row, column, &value) ? DatumGetInt32(value) : 0;
}

double
fields_interval_us(const Interval *interval)
{
	return (double) interval->time +
		((double) interval->month * DAYS_PER_MONTH + interval->day) * USECS_PER_DAY;
}

int64
destination_window(const Interval *interval)
{
	return (int64) Min(Max(fields_interval_us(interval), 0), MAX_WINDOW_US);
}

void
destination_fields_read(HeapTuple tuple, TupleDesc desc, DestinationFields *fields)
{
	Row			row = {tuple, desc};

	fields->hosts_changed = false;
	fields->name = fields_text(&row, "name");
	fields->url = fields_text(&row, "url");
	fields->method = fields_text(&row, "method");
	fields->headers = fields_jsonb(&row, "headers");
	fields->types = fields_array(&row, "types");
	fields->events = fields_array(&row, "events");
	fields->excluded_events = fields_array(&row, "excluded_events");
	fields->filter = fields_jsonpath(&row, "filter");
	fields->consent = fields_jsonb(&row, "consent");
	fields->ca_cert = fields_text(&row, "ca_cert");
	fields->client_cert = fields_text(&row, "client_cert");
	fields->client_key = fields_text(&row, "client_key");
	fields->proxy = fields_text(&row, "proxy");
	fields->no_proxy = fields_text(&row, "no_proxy");
	fields->auth_type = fields_text(&row, "auth_type");
	fields->auth_username = fields_text(&row, "auth_username");
	fields->auth_password = fields_text(&row, "auth_password");
	fields->auth_token = fields_text(&row, "auth_token");
	fields->auth_header = fields_text(&row, "auth_header");
	fields->allowed_hosts = fields_array(&row, "allowed_hosts");
	fields->signing_secrets = fields_jsonb(&row, "signing_secrets");
	fields->mapping[MAPPING_HEADERS] = fields_jsonb(&row, "header_mapping");
	fields->mapping[MAPPING_QUERY] = fields_jsonb(&row, "query_mapping");
	fields->mapping[MAPPING_PATH] = fields_jsonb(&row, "path_parts");
	fields->mapping[MAPPING_BODY] = fields_jsonb(&row, "body_mapping");
	fields->format = fields_text(&row, "format");
	fields->xml_root = fields_text(&row, "xml_root");
	fields->status_outcomes = fields_jsonb(&row, "status_outcomes");
}
