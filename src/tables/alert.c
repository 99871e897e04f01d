/*-------------------------------------------------------------------------
 *
 * alert.c
 *		rswebhook.alert: what somebody should be told of.
 *
 * Whether there is a row already, and who is told how, is the affair of functions in SQL, as
 * that is rare; see rswebhook.raise_alert() in rswebhook--1.0.sql.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/encoding.h"
#include "tables/alert.h"
#include "tables/statement.h"
#include "tables/tables.h"

static const char *const names[] = {
	[ALERT_FAILING] = "destination failing",
	[ALERT_BACKED_OFF] = "destination backed off",
	[ALERT_SECRET] = "secret missing",
	[ALERT_CERTIFICATE] = "certificate ending",
	[ALERT_SETTINGS] = "settings",
	[ALERT_RECOVERED] = "destination recovered",
	[ALERT_DISABLED] = "destination disabled",
	[ALERT_ABORTED] = "event aborted",
	[ALERT_EXPIRED] = "event expired"
};

/* Those in the first column of what was returned, without nulls. */
static char **
returned_lines(int *count)
{
	char	  **lines = palloc(sizeof(char *) * Max(SPI_processed, 1));

	*count = 0;
	for (int i = 0; i < (int) SPI_processed; i++)
	{
		bool		null;
		Datum		line = statement_column(i, 0, &null);

		if (!null)
			lines[(*count)++] = TextDatumGetCString(line);
	}
	SPI_freetuptable(SPI_tuptable);
	return lines;
}

char *
alert_write(const Alert *alert)
{
	Datum		values[6];
	char		nulls[6];
	char	  **lines;
	int			count;

	memset(nulls, ' ', sizeof(nulls));
	values[0] = CStringGetTextDatum(names[alert->kind]);
	values[1] = Int32GetDatum(alert->destination_id);
	if (alert->over)
		statement_execute(CLEAR_ALERT, values, NULL, false, SPI_OK_SELECT);
	else
	{
		values[2] = encoding_readable(alert->message, strlen(alert->message));
		values[3] = Int64GetDatum(alert->count);
		values[4] = TimestampTzGetDatum(alert->since);
		values[5] = Int64GetDatum(alert->event_id);
		if (alert->since == 0)
			nulls[4] = 'n';
		if (alert->event_id == 0)
			nulls[5] = 'n';
		statement_execute(RAISE_ALERT, values, nulls, false, SPI_OK_SELECT);
	}
	lines = returned_lines(&count);
	return count > 0 ? lines[0] : NULL;
}

char **
alert_look(int missing, int *count)
{
	Datum		values[1] = {Int32GetDatum(missing)};

	statement_execute(LOOK_FOR_ALERTS, values, missing < 0 ? "n" : NULL, false, SPI_OK_SELECT);
	return returned_lines(count);
}

Workers
alert_workers(void)
{
	bool		null;
	Workers		workers;

	tables_lock_and_look("alert");
	statement_execute(LOOK_AT_WORKERS, NULL, NULL, true, SPI_OK_SELECT);
	workers.missing = DatumGetInt32(statement_column(0, 0, &null));
	workers.first = DatumGetBool(statement_column(0, 1, &null)) && !null;
	workers.untold = DatumGetBool(statement_column(0, 2, &null));
	SPI_freetuptable(SPI_tuptable);
	return workers;
}

/* False: it is none that a worker writes. */
static bool
kind_of(const char *name, AlertKind *kind)
{
	for (int i = 0; i < lengthof(names); i++)
	{
		if (strcmp(name, names[i]) != 0)
			continue;
		*kind = (AlertKind) i;
		return true;
	}
	return false;
}

int
alert_load(OpenAlert **alerts)
{
	int			count = 0;

	tables_lock_and_look("alert");
	statement_execute(LOAD_ALERTS, NULL, NULL, true, SPI_OK_SELECT);
	*alerts = palloc(sizeof(OpenAlert) * Max(SPI_processed, 1));
	for (int i = 0; i < (int) SPI_processed; i++)
	{
		OpenAlert  *alert = &(*alerts)[count];
		bool		null;

		alert->destination_id = DatumGetInt32(statement_column(i, 0, &null));
		alert->since = statement_time(i, 2);
		count += kind_of(TextDatumGetCString(statement_column(i, 1, &null)), &alert->kind);
	}
	SPI_freetuptable(SPI_tuptable);
	return count;
}

int
alert_load_attempts(LatestAttempt **attempts)
{
	int			count;

	statement_execute(LATEST_ATTEMPTS, NULL, NULL, true, SPI_OK_SELECT);
	count = (int) SPI_processed;
	*attempts = palloc(sizeof(LatestAttempt) * Max(count, 1));
	for (int i = 0; i < count; i++)
	{
		LatestAttempt *attempt = &(*attempts)[i];
		bool		null;

		attempt->destination_id = DatumGetInt32(statement_column(i, 0, &null));
		attempt->good = DatumGetBool(statement_column(i, 1, &null));
	}
	SPI_freetuptable(SPI_tuptable);
	return count;
}
