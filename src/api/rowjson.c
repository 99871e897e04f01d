/*-------------------------------------------------------------------------
 *
 * rowjson.c
 *		A table's rows as JSON objects, as to_jsonb() makes them.
 *
 * Two things differ from a call of to_jsonb(row).  What is a property of the table is
 * found out once and not for each row, which is most of what such a call takes.  And
 * what is sent does not depend on the settings of whoever changes a row: it is as under
 * TimeZone UTC, DateStyle ISO, IntervalStyle iso_8601, bytea_output hex and
 * extra_float_digits 1, and names of objects and money as with an empty search_path,
 * quote_all_identifiers off and lc_monetary C.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "access/detoast.h"
#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "common/shortest_dec.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/datetime.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/json.h"
#include "utils/lsyscache.h"
#include "utils/numeric.h"
#include "utils/typcache.h"

#include "api/object.h"
#include "api/rowjson.h"

typedef struct ColumnJson
{
	int			attnum;
	Oid			type;			/* of a domain, what is under it */
	bool		is_varlena;
	const char *key;
	int			key_len;
	FmgrInfo	to_jsonb;		/* of other types than those below */
	bool		has_names;
} ColumnJson;

struct RowJson
{
	int			ncolumns;
	int			last;			/* attribute */
	bool		may_fail;
	ColumnJson	columns[FLEXIBLE_ARRAY_MEMBER];
};

/* ---------------------------------------------------------------------
 * Settings
 * ---------------------------------------------------------------------
 */
typedef struct Setting
{
	const char *name;
	const char *value;
	const char *same;			/* another value that shows all the same */
	const char *beginning;		/* likewise, with any end; NULL: there is none */
} Setting;

static const Setting settings[] = {
	{"TimeZone", "UTC", "Etc/UTC", NULL},
	{"DateStyle", "ISO", "ISO", "ISO, "},
	{"IntervalStyle", "iso_8601", "iso_8601", NULL},
	{"bytea_output", "hex", "hex", NULL},
	{"extra_float_digits", "1", "1", NULL}
};

/* Only for the types that follow them: functions of other ones may need the search_path. */
static const Setting settings_of_names[] = {
	{"search_path", "pg_catalog", "pg_catalog", NULL},
	{"quote_all_identifiers", "off", "off", NULL},
	{"lc_monetary", "C", "POSIX", NULL}
};

static bool
is_as_pinned(const Setting *setting)
{
	const char *now = GetConfigOption(setting->name, false, false);

	return strcmp(now, setting->value) == 0 || strcmp(now, setting->same) == 0 ||
		(setting->beginning != NULL && strncmp(now, setting->beginning, strlen(setting->beginning)) == 0);
}

/* -1: all of them are so already. */
static int
pin(const Setting *wanted, int count)
{
	int			level = -1;

	for (int i = 0; i < count; i++)
	{
		if (is_as_pinned(&wanted[i]))
			continue;
		if (level < 0)
			level = NewGUCNestLevel();
		(void) set_config_option(wanted[i].name, wanted[i].value, PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_SAVE, true, 0, false);
	}
	return level;
}

static int
settings_pin(void)
{
	return pin(settings, lengthof(settings));
}

static int
names_pin(bool wanted)
{
	return wanted ? pin(settings_of_names, lengthof(settings_of_names)) : -1;
}

static void
settings_unpin(int level)
{
	if (level >= 0)
		AtEOXact_GUC(true, level);
}

/* ---------------------------------------------------------------------
 * Columns
 * ---------------------------------------------------------------------
 */

/* Those that are pushed without a call of to_jsonb(). */
static bool
is_plain(Oid type)
{
	switch (type)
	{
		case BOOLOID:
		case INT2OID:
		case INT4OID:
		case INT8OID:
		case FLOAT4OID:
		case FLOAT8OID:
		case NUMERICOID:
		case TEXTOID:
		case VARCHAROID:
		case BPCHAROID:
		case DATEOID:
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
		case UUIDOID:
		case JSONBOID:
			return true;
		default:
			return false;
	}
}

static bool has_names(Oid type);

static bool
has_column_with_names(Oid type)
{
	TupleDesc	desc = lookup_rowtype_tupdesc(type, -1);
	bool		has = false;

	for (int i = 0; i < desc->natts && !has; i++)
		has = !TupleDescAttr(desc, i)->attisdropped && has_names(TupleDescAttr(desc, i)->atttypid);
	ReleaseTupleDesc(desc);
	return has;
}

/* Is it, or is there in it, one whose text follows settings_of_names? */
static bool
has_names(Oid type)
{
	check_stack_depth();
	type = getBaseType(type);
	switch (type)
	{
		case REGPROCOID:
		case REGPROCEDUREOID:
		case REGOPEROID:
		case REGOPERATOROID:
		case REGCLASSOID:
		case REGCOLLATIONOID:
		case REGTYPEOID:
		case REGROLEOID:
		case REGNAMESPACEOID:
		case REGCONFIGOID:
		case REGDICTIONARYOID:
		case CASHOID:
			return true;
		default:
			break;
	}
	if (OidIsValid(get_element_type(type)))
		return has_names(get_element_type(type));
	return get_typtype(type) == TYPTYPE_COMPOSITE && has_column_with_names(type);
}

/* It asks for the type of its argument: it is called as if from an expression. */
static void
prepare_to_jsonb(FmgrInfo *function, Oid type)
{
	Const	   *argument = makeNullConst(type, -1, InvalidOid);
	FuncExpr   *call = makeFuncExpr(F_TO_JSONB, JSONBOID, list_make1(argument),
									InvalidOid, InvalidOid, COERCE_EXPLICIT_CALL);

	fmgr_info_cxt(F_TO_JSONB, function, CurrentMemoryContext);
	fmgr_info_set_expr((Node *) call, function);
}

/* In the order in which jsonb has its keys, so that none has to be sorted. */
static int
compare_columns(const void *a, const void *b)
{
	const ColumnJson *x = a;
	const ColumnJson *y = b;

	if (x->key_len != y->key_len)
		return x->key_len < y->key_len ? -1 : 1;
	return memcmp(x->key, y->key, x->key_len);
}

RowJson *
rowjson_make(TupleDesc desc, const bool *chosen)
{
	RowJson    *rows = palloc0(offsetof(RowJson, columns) + Max(desc->natts, 1) * sizeof(ColumnJson));

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(desc, i);
		ColumnJson *column = &rows->columns[rows->ncolumns];

		if (attribute->attisdropped || !chosen[i])
			continue;
		column->attnum = i + 1;
		column->type = getBaseType(attribute->atttypid);
		column->is_varlena = attribute->attlen == -1;
		column->key = pstrdup(NameStr(attribute->attname));
		column->key_len = strlen(column->key);
		if (!is_plain(column->type))
			rows->may_fail = true;
		column->has_names = has_names(column->type);
		rows->last = i + 1;
		rows->ncolumns++;
	}
	qsort(rows->columns, rows->ncolumns, sizeof(ColumnJson), compare_columns);
	for (int i = 0; i < rows->ncolumns; i++)
	{
		if (!is_plain(rows->columns[i].type))
			prepare_to_jsonb(&rows->columns[i].to_jsonb,
							 TupleDescAttr(desc, rows->columns[i].attnum - 1)->atttypid);
	}
	return rows;
}

int
rowjson_last_column(const RowJson *rows)
{
	return rows->last;
}

bool
rowjson_may_fail(const RowJson *rows)
{
	return rows->may_fail;
}

Size
rowjson_value_size(Datum varlena)
{
	return toast_raw_datum_size(varlena) - VARHDRSZ;
}

Size
rowjson_column_size(TupleDesc desc, int attnum, const Datum *values, const bool *nulls)
{
	return attnum == 0 || nulls[attnum - 1] || TupleDescAttr(desc, attnum - 1)->attlen != -1 ? 0 :
		rowjson_value_size(values[attnum - 1]);
}

Size
rowjson_size(const RowJson *rows, const Datum *values, const bool *nulls)
{
	Size		size = 0;

	for (int i = 0; i < rows->ncolumns; i++)
	{
		const ColumnJson *column = &rows->columns[i];

		if (column->is_varlena && !nulls[column->attnum - 1])
			size += rowjson_value_size(values[column->attnum - 1]);
	}
	return size;
}

/* ---------------------------------------------------------------------
 * Values
 * ---------------------------------------------------------------------
 */
static void
set_numeric(JsonbValue *value, Numeric numeric)
{
	value->type = jbvNumeric;
	value->val.numeric = numeric;
}

/* JSON has no numbers for these: they are strings. */
static void
set_float(JsonbValue *value, const char *shortest, bool finite)
{
	if (finite)
		set_numeric(value, DatumGetNumeric(DirectFunctionCall3(numeric_in, CStringGetDatum(shortest),
															   ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1))));
	else
		object_set_string(value, pstrdup(shortest), strlen(shortest));
}

static const char *
float8_text(double number, char *buffer)
{
	if (isnan(number))
		return "NaN";
	if (isinf(number))
		return number > 0 ? "Infinity" : "-Infinity";
	double_to_shortest_decimal_buf(number, buffer);
	return buffer;
}

static const char *
float4_text(float number, char *buffer)
{
	if (isnan(number) || isinf(number))
		return float8_text(number, buffer);
	float_to_shortest_decimal_buf(number, buffer);
	return buffer;
}

/* A date or time as in ISO 8601; one with a time zone in UTC. */
static void
set_time(JsonbValue *value, Datum time, Oid type)
{
	char	   *buffer = palloc(MAXDATELEN + 1);
	int			utc = 0;

	JsonEncodeDateTime(buffer, time, type, type == TIMESTAMPTZOID ? &utc : NULL);
	object_set_string(value, buffer, strlen(buffer));
}

static void
set_numeric_column(JsonbValue *value, Datum datum)
{
	Numeric		numeric = DatumGetNumeric(datum);

	if (numeric_is_nan(numeric) || numeric_is_inf(numeric))
	{
		char	   *text = DatumGetCString(DirectFunctionCall1(numeric_out, datum));

		object_set_string(value, text, strlen(text));
	}
	else
		set_numeric(value, numeric);
}

static void
set_value(JsonbValue *value, const ColumnJson *column, Datum datum)
{
	int			level;

	char		buffer[FLOAT_SHORTEST_DECIMAL_LEN > DOUBLE_SHORTEST_DECIMAL_LEN ?
					   FLOAT_SHORTEST_DECIMAL_LEN : DOUBLE_SHORTEST_DECIMAL_LEN];

	switch (column->type)
	{
		case BOOLOID:
			value->type = jbvBool;
			value->val.boolean = DatumGetBool(datum);
			break;
		case INT2OID:
			set_numeric(value, int64_to_numeric(DatumGetInt16(datum)));
			break;
		case INT4OID:
			set_numeric(value, int64_to_numeric(DatumGetInt32(datum)));
			break;
		case INT8OID:
			set_numeric(value, int64_to_numeric(DatumGetInt64(datum)));
			break;
		case FLOAT4OID:
			set_float(value, float4_text(DatumGetFloat4(datum), buffer), isfinite(DatumGetFloat4(datum)));
			break;
		case FLOAT8OID:
			set_float(value, float8_text(DatumGetFloat8(datum), buffer), isfinite(DatumGetFloat8(datum)));
			break;
		case NUMERICOID:
			set_numeric_column(value, datum);
			break;
		case TEXTOID:
		case VARCHAROID:
		case BPCHAROID:
			{
				text	   *string = DatumGetTextPP(datum);

				object_set_string(value, VARDATA_ANY(string), VARSIZE_ANY_EXHDR(string));
				break;
			}
		case DATEOID:
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
			set_time(value, datum, column->type);
			break;
		case UUIDOID:
			{
				char	   *text = DatumGetCString(DirectFunctionCall1(uuid_out, datum));

				object_set_string(value, text, strlen(text));
				break;
			}
		case JSONBOID:
			object_set_jsonb(value, DatumGetJsonbP(datum));
			break;
		default:
			level = names_pin(column->has_names);
			object_set_jsonb(value, DatumGetJsonbP(FunctionCall1(unconstify(FmgrInfo *, &column->to_jsonb), datum)));
			settings_unpin(level);
	}
}

void
rowjson_object(JsonbValue *object, const RowJson *rows, const Datum *values, const bool *nulls)
{
	int			level = rows->may_fail ? settings_pin() : -1;

	object_begin(object, rows->ncolumns);
	for (int i = 0; i < rows->ncolumns; i++)
	{
		const ColumnJson *column = &rows->columns[i];
		JsonbValue *value = object_add(object, column->key, column->key_len);

		CHECK_FOR_INTERRUPTS();
		if (nulls[column->attnum - 1])
			value->type = jbvNull;
		else
			set_value(value, column, values[column->attnum - 1]);
	}
	settings_unpin(level);
}

bool
rowjson_text_is_plain(TupleDesc desc, int attnum)
{
	Oid			type = TupleDescAttr(desc, attnum - 1)->atttypid;

	return type == INT4OID || type == INT8OID || type == TEXTOID || type == VARCHAROID || type == UUIDOID;
}

char *
rowjson_text(TupleDesc desc, int attnum, const Datum *values, const bool *nulls)
{
	Oid			type = TupleDescAttr(desc, attnum - 1)->atttypid;
	Oid			function;
	bool		is_varlena;
	char	   *shown;
	int			level;
	int			names_level;

	if (nulls[attnum - 1])
		return NULL;
	switch (type)
	{
		case INT4OID:
			shown = palloc(12);
			pg_ltoa(DatumGetInt32(values[attnum - 1]), shown);
			return shown;
		case INT8OID:
			shown = palloc(MAXINT8LEN + 1);
			pg_lltoa(DatumGetInt64(values[attnum - 1]), shown);
			return shown;
		case UUIDOID:
			return DatumGetCString(DirectFunctionCall1(uuid_out, values[attnum - 1]));
		case TEXTOID:
		case VARCHAROID:
			return TextDatumGetCString(values[attnum - 1]);
		default:
			break;
	}
	getTypeOutputInfo(type, &function, &is_varlena);
	level = settings_pin();
	names_level = names_pin(has_names(type));
	shown = OidOutputFunctionCall(function, values[attnum - 1]);
	settings_unpin(names_level);
	settings_unpin(level);
	return shown;
}
