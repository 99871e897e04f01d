/*-------------------------------------------------------------------------
 *
 * nearest.c
 *		What may have been meant by a name that there is not.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/formatting.h"
#include "utils/varlena.h"

#include "base/compat.h"
#include "destination/nearest.h"
#include "destination/table.h"

/* Slips in names of so many bytes. */
#define SLIP_EACH	4
#define MOST_SLIPS	3

int
nearest_distance(const char *name, const char *other)
{
	int			len = strlen(name);
	int			other_len = strlen(other);
	int			most = Min(1 + Min(len, other_len) / SLIP_EACH, MOST_SLIPS);
	char	   *folded;
	char	   *other_folded;
	int			distance;

	if (len == 0 || other_len == 0 || len > NAMEDATALEN + MOST_SLIPS || other_len > NAMEDATALEN + MOST_SLIPS ||
		abs(pg_mbstrlen(name) - pg_mbstrlen(other)) > most)
		return -1;
	folded = asc_tolower(name, len);
	other_folded = asc_tolower(other, other_len);
	distance = varstr_levenshtein_less_equal(folded, len, other_folded, other_len, 1, 1, 1, most, true);
	pfree(folded);
	pfree(other_folded);
	return distance <= most && distance < Min(len, other_len) ? distance : -1;
}

/* The nearest name of all, as a string; empty: none is near. */
static void
look_for_nearest(const char *name, char nearest[NAMEDATALEN])
{
	DestinationTable table;
	HeapTuple	tuple;
	int			least = -1;

	nearest[0] = '\0';
	destination_table_open(&table);
	destination_table_all(&table);
	while (least != 0 && (tuple = destination_table_next(&table)) != NULL)
	{
		bool		isnull;
		Datum		value = heap_getattr(tuple, table.columns.name, RelationGetDescr(table.rel), &isnull);
		char	   *other = isnull ? pstrdup("") : TextDatumGetCString(value);
		int			distance = strlen(other) < NAMEDATALEN ? nearest_distance(name, other) : -1;

		if (distance >= 0 && (least < 0 || distance < least))
		{
			strlcpy(nearest, other, NAMEDATALEN);
			least = distance;
		}
		pfree(other);
	}
	destination_table_close(&table);
}

/* All are looked at once a statement, which may name it with each of a million rows. */
const char *
nearest_destination_hint(const char *name, const char *otherwise)
{
	static TimestampTz asked_at = 0;
	static char asked[NAMEDATALEN];
	static char nearest[NAMEDATALEN];

	if (strlen(name) >= sizeof(asked))
		return otherwise;
	if (asked_at != GetCurrentStatementStartTimestamp() || strcmp(asked, name) != 0)
	{
		asked_at = 0;
		look_for_nearest(name, nearest);
		strlcpy(asked, name, sizeof(asked));
		asked_at = GetCurrentStatementStartTimestamp();
	}
	return nearest[0] == '\0' ? otherwise : psprintf("Perhaps \"%s\" was meant. %s", nearest, otherwise);
}

SQL_FUNCTION(rswebhook_destination_hint);

Datum
rswebhook_destination_hint(PG_FUNCTION_ARGS)
{
	char	   *name = text_to_cstring(PG_GETARG_TEXT_PP(0));

	PG_RETURN_TEXT_P(cstring_to_text(nearest_destination_hint(name, NEAREST_OTHERWISE)));
}
