/*-------------------------------------------------------------------------
 *
 * unusable.c
 *		Destinations that cannot be used, for rswebhook.status.
 *
 * Each process finds that out by itself, from the same rows as the workers.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/rel.h"
#include "utils/tuplestore.h"

#include "base/compat.h"
#include "destination/directory.h"
#include "destination/fields.h"
#include "tables/tables.h"

static void
put(int32 id, const char *problem, void *arg)
{
	ReturnSetInfo *result = arg;
	Datum		values[2] = {Int32GetDatum(id), CStringGetTextDatum(problem)};
	bool		nulls[2] = {id == 0, false};

	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

SQL_FUNCTION(rswebhook_unusable);

/* And why.  A null instead of a destination stands for all. */
Datum
rswebhook_unusable(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	Relation	rel = table_open(tables_relation("destination"), AccessShareLock);
	char	   *problem = fields_columns_problem(RelationGetDescr(rel));

	table_close(rel, NoLock);
	InitMaterializedSRF(fcinfo, 0);
	if (problem != NULL)
	{
		put(0, problem, result);
		return (Datum) 0;
	}
	destination_each_unusable(put, result);
	return (Datum) 0;
}
