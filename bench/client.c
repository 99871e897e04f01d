/*-------------------------------------------------------------------------
 *
 * client.c
 *		An application that sends one event a transaction, at a steady rate.
 *
 *	client SQL EVENT PREFIX COUNT RATE LOG
 *
 * SQL is a statement with the event as $1; EVENT is a file with one event, in
 * which @ID@ becomes PREFIX and a number, and @USER@ one of a thousand users.
 * Writes to LOG for each event its id and the real time clock in nanoseconds
 * before COMMIT was sent and after it returned.  Connects as libpq's
 * environment variables say.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#define _GNU_SOURCE

#include <errno.h>
#include <libpq-fe.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static PGconn *connection;

static void
fail(const char *what, const char *why)
{
	fprintf(stderr, "client: %s: %s\n", what, why);
	exit(1);
}

static int64_t
clock_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (int64_t) now.tv_sec * 1000000000 + now.tv_nsec;
}

static void
check(PGresult *result)
{
	ExecStatusType status = PQresultStatus(result);

	if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK)
		fail("statement failed", PQerrorMessage(connection));
	PQclear(result);
}

/* The whole file, without newlines, which JSON does not need. */
static char *
read_event(const char *path)
{
	static char text[64 * 1024];
	FILE	   *file = fopen(path, "r");
	size_t		len;

	if (file == NULL)
		fail(path, strerror(errno));
	len = fread(text, 1, sizeof(text) - 1, file);
	fclose(file);
	text[len] = '\0';
	return text;
}

/* Replace the first mark in text by value, into result. */
static void
fill(char *result, size_t size, const char *text, const char *mark, const char *value)
{
	const char *at = strstr(text, mark);

	if (at == NULL)
		snprintf(result, size, "%s", text);
	else
		snprintf(result, size, "%.*s%s%s", (int) (at - text), text, value,
				 at + strlen(mark));
}

int
main(int argc, char **argv)
{
	char	   *event;
	const char *prefix;
	long		count;
	double		rate;
	FILE	   *log_file;
	int64_t		begin;

	if (argc != 7)
		fail("usage", "client SQL EVENT PREFIX COUNT RATE LOG");
	event = read_event(argv[2]);
	prefix = argv[3];
	count = atol(argv[4]);
	rate = atof(argv[5]);
	log_file = fopen(argv[6], "w");
	if (log_file == NULL || rate <= 0)
		fail(argv[6], "cannot write, or no rate");

	connection = PQconnectdb("");
	if (PQstatus(connection) != CONNECTION_OK)
		fail("cannot connect", PQerrorMessage(connection));
	check(PQexec(connection, "SET client_min_messages = warning"));
	check(PQprepare(connection, "send", argv[1], 1, NULL));

	begin = clock_ns(CLOCK_MONOTONIC);
	for (long i = 0; i < count; i++)
	{
		int64_t		due = begin + (int64_t) (i * 1e9 / rate);
		struct timespec when = {due / 1000000000, due % 1000000000};
		char		id[128];
		char		user[32];
		char		with_id[64 * 1024];
		char		whole[64 * 1024];
		const char *values[1] = {whole};
		int64_t		before;
		int64_t		after;

		snprintf(id, sizeof(id), "%s%ld", prefix, i);
		snprintf(user, sizeof(user), "user-%ld", i % 1000);
		fill(with_id, sizeof(with_id), event, "@ID@", id);
		fill(whole, sizeof(whole), with_id, "@USER@", user);

		while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &when, NULL) == EINTR)
			;
		check(PQexec(connection, "BEGIN"));
		check(PQexecPrepared(connection, "send", 1, values, NULL, NULL, 0));
		before = clock_ns(CLOCK_REALTIME);
		check(PQexec(connection, "COMMIT"));
		after = clock_ns(CLOCK_REALTIME);
		fprintf(log_file, "%s\t%lld\t%lld\n", id, (long long) before, (long long) after);
	}
	PQfinish(connection);
	if (fclose(log_file) != 0)
		fail(argv[6], strerror(errno));
	return 0;
}
