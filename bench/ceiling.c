/*-------------------------------------------------------------------------
 *
 * ceiling.c
 *		The yardstick of the benchmarks: the same requests without a database.
 *
 *	ceiling URL BODIES COUNT IN_FLIGHT
 *	ceiling URL BODIES COUNT 1 RATE LOG
 *
 * Posts the lines of the file BODIES, over and over until COUNT requests are
 * answered, with IN_FLIGHT at once, and prints seconds, requests answered with
 * 2xx, others, and its own CPU seconds.  With RATE and LOG it sends at most so
 * many a second, one at a time, and writes each body's messageId and when it
 * was sent (nanoseconds of the real time clock) to LOG.
 *
 * As fast as libcurl is meant to be driven: one easy handle for each request
 * in flight, set up once, and curl_multi_poll.  Shares no code with rswebhook.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#define _GNU_SOURCE

#include <curl/curl.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

typedef struct Body
{
	char	   *text;
	size_t		len;
	char	   *id;				/* of the messageId in it */
} Body;

typedef struct Slot
{
	CURL	   *easy;
	struct curl_slist *headers;
	bool		busy;
} Slot;

static Body *bodies;
static long nbodies;
static FILE *log_file;

static void
fail(const char *what)
{
	fprintf(stderr, "ceiling: %s\n", what);
	exit(1);
}

static int64_t
clock_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (int64_t) now.tv_sec * 1000000000 + now.tv_nsec;
}

static char *
message_id(const char *body)
{
	const char *start = strstr(body, "\"messageId\":");
	const char *end = NULL;

	if (start != NULL)
		start = strchr(start + strlen("\"messageId\":"), '"');
	if (start != NULL)
		end = strchr(++start, '"');
	if (end == NULL)
		fail("a body has no messageId");
	return strndup(start, end - start);
}

static void
read_bodies(const char *path)
{
	FILE	   *file = fopen(path, "r");
	char	   *line = NULL;
	size_t		size = 0;
	ssize_t		len;
	long		room = 0;

	if (file == NULL)
		fail("cannot read the bodies");
	while ((len = getline(&line, &size, file)) > 0)
	{
		if (line[len - 1] == '\n')
			line[--len] = '\0';
		if (nbodies == room)
		{
			room = room == 0 ? 1024 : 2 * room;
			bodies = realloc(bodies, room * sizeof(Body));
			if (bodies == NULL)
				fail("out of memory");
		}
		bodies[nbodies].text = strdup(line);
		bodies[nbodies].len = len;
		bodies[nbodies].id = message_id(line);
		nbodies++;
	}
	free(line);
	fclose(file);
	if (nbodies == 0)
		fail("no bodies");
}

static size_t
ignore_answer(char *data, size_t size, size_t count, void *arg)
{
	(void) data;
	(void) arg;
	return size * count;
}

static void
set_up(Slot *slot, const char *url)
{
	slot->easy = curl_easy_init();
	if (slot->easy == NULL)
		fail("no easy handle");
	curl_easy_setopt(slot->easy, CURLOPT_URL, url);
	curl_easy_setopt(slot->easy, CURLOPT_POST, 1L);
	curl_easy_setopt(slot->easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(slot->easy, CURLOPT_PROXY, "");
	curl_easy_setopt(slot->easy, CURLOPT_TIMEOUT_MS, 10000L);
	curl_easy_setopt(slot->easy, CURLOPT_WRITEFUNCTION, ignore_answer);
	curl_easy_setopt(slot->easy, CURLOPT_PRIVATE, slot);
}

/* The same headers as the worker sends; one of them differs each time. */
static void
start(CURLM *multi, Slot *slot, const Body *body)
{
	struct curl_slist *headers = NULL;
	char		id[300];

	snprintf(id, sizeof(id), "webhook-id: %s", body->id);
	headers = curl_slist_append(headers, "content-type: application/json");
	headers = curl_slist_append(headers, "user-agent: RudderLabs");
	headers = curl_slist_append(headers, id);
	headers = curl_slist_append(headers, "Expect:");

	curl_easy_setopt(slot->easy, CURLOPT_HTTPHEADER, headers);
	curl_slist_free_all(slot->headers);
	slot->headers = headers;
	curl_easy_setopt(slot->easy, CURLOPT_POSTFIELDS, body->text);
	curl_easy_setopt(slot->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t) body->len);
	if (log_file != NULL)
		fprintf(log_file, "%s\t%lld\n", body->id, (long long) clock_ns(CLOCK_REALTIME));
	if (curl_multi_add_handle(multi, slot->easy) != CURLM_OK)
		fail("cannot start a request");
	slot->busy = true;
}

static void
sleep_until(int64_t ns)
{
	struct timespec when = {ns / 1000000000, ns % 1000000000};

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &when, NULL) == EINTR)
		;
}

int
main(int argc, char **argv)
{
	CURLM	   *multi;
	Slot	   *slots;
	long		count;
	long		in_flight;
	double		rate = 0;
	long		started = 0;
	long		good = 0;
	long		bad = 0;
	int64_t		begin;
	struct rusage usage;
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) == 0)
	{
		files.rlim_cur = files.rlim_max;
		(void) setrlimit(RLIMIT_NOFILE, &files);
	}
	if (argc != 5 && argc != 7)
		fail("usage: ceiling URL BODIES COUNT IN_FLIGHT [RATE LOG]");
	count = atol(argv[3]);
	in_flight = atol(argv[4]);
	if (argc == 7)
	{
		rate = atof(argv[5]);
		log_file = fopen(argv[6], "w");
		if (log_file == NULL || rate <= 0 || in_flight != 1)
			fail("cannot write the log, or no rate, or not one at a time");
	}
	read_bodies(argv[2]);

	curl_global_init(CURL_GLOBAL_ALL);
	multi = curl_multi_init();
	slots = calloc(in_flight, sizeof(Slot));
	if (multi == NULL || slots == NULL)
		fail("out of memory");
	curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, in_flight);
	for (long i = 0; i < in_flight; i++)
		set_up(&slots[i], argv[1]);

	begin = clock_ns(CLOCK_MONOTONIC);
	while (good + bad < count)
	{
		int			running;
		int			left;
		CURLMsg    *message;

		for (long i = 0; i < in_flight && started < count; i++)
		{
			if (slots[i].busy)
				continue;
			if (rate > 0)
				sleep_until(begin + (int64_t) (started * 1e9 / rate));
			start(multi, &slots[i], &bodies[started++ % nbodies]);
		}
		curl_multi_perform(multi, &running);
		while ((message = curl_multi_info_read(multi, &left)) != NULL)
		{
			Slot	   *slot;
			long		status = 0;

			curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &slot);
			curl_easy_getinfo(message->easy_handle, CURLINFO_RESPONSE_CODE, &status);
			if (message->data.result == CURLE_OK && status >= 200 && status <= 299)
				good++;
			else
				bad++;
			curl_multi_remove_handle(multi, slot->easy);
			slot->busy = false;
			running = 0;		/* there is something to start */
		}
		if (running > 0)
			curl_multi_poll(multi, NULL, 0, 1000, NULL);
	}

	getrusage(RUSAGE_SELF, &usage);
	printf("%.6f %ld %ld %.6f\n",
		   (clock_ns(CLOCK_MONOTONIC) - begin) / 1e9, good, bad,
		   usage.ru_utime.tv_sec + usage.ru_utime.tv_usec / 1e6 +
		   usage.ru_stime.tv_sec + usage.ru_stime.tv_usec / 1e6);
	if (log_file != NULL && fclose(log_file) != 0)
		fail("cannot write the log");
	return 0;
}
