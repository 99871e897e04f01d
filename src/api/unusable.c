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
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/rel.h"
#include "utils/tuplestore.h"

#include "base/compat.h"
#include "destination/cache.h"
#include "destination/fields.h"
#include "tables/tables.h"

static void
put(ReturnSetInfo *result, const Destination *destination, const char *problem)
{
	Datum		values[2] = {0};
	bool		nulls[2] = {destination == NULL, false};

	if (destination != NULL)
		values[0] = Int32GetDatum(destination->id);
	values[1] = CStringGetTextDatum(problem);
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
	Destination **list;
	int			count;

	table_close(rel, NoLock);
	InitMaterializedSRF(fcinfo, 0);
	if (problem != NULL)
	{
		put(result, NULL, problem);
		return (Datum) 0;
	}
	destination_all(&list, &count);
	for (int i = 0; i < count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (list[i]->problem != NULL)
			put(result, list[i], list[i]->problem);
	}
	return (Datum) 0;
}
