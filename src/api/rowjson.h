/*-------------------------------------------------------------------------
 *
 * rowjson.h
 *		A table's rows as JSON objects, as to_jsonb() makes them.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_ROWJSON_H
#define RSWEBHOOK_ROWJSON_H

#include "access/tupdesc.h"
#include "utils/jsonb.h"

typedef struct RowJson RowJson;

/*
 * How rows of this type become objects: chosen says of each column whether it is in
 * them.  All memory is in the current context.
 */
extern RowJson *rowjson_make(TupleDesc desc, const bool *chosen);

/* The last column, from 1, that is chosen; 0: none. */
extern int	rowjson_last_column(const RowJson *rows);

/* Bytes that the chosen columns have at least, before any of them is fetched. */
extern Size rowjson_size(const RowJson *rows, const Datum *values, const bool *nulls);

extern Size rowjson_value_size(Datum varlena);

/* Of a row's column; 0: it is null, has a fixed length, or is number 0, which is none. */
extern Size rowjson_column_size(TupleDesc desc, int attnum, const Datum *values, const bool *nulls);

/* May a value of these columns be an error, since its type's own functions are called? */
extern bool rowjson_may_fail(const RowJson *rows);

/* A row's object, in the current memory context; its strings may be the row's. */
extern void rowjson_object(JsonbValue *object, const RowJson *rows, const Datum *values,
						   const bool *nulls);

/* Is that so without calling a function of the column's type? */
extern bool rowjson_text_is_plain(TupleDesc desc, int attnum);

/* A column as a string; NULL: it is null.  The same whatever the session's settings. */
extern char *rowjson_text(TupleDesc desc, int attnum, const Datum *values, const bool *nulls);

#endif							/* RSWEBHOOK_ROWJSON_H */
