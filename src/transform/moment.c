/*-------------------------------------------------------------------------
 *
 * moment.c
 *		Moments as events have them: texts as ISO 8601 has them, with a zone.
 *
 * PostgreSQL's own input would do with what the session's settings say of zones and
 * of the order of days and months, and takes words such as "now".
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/datetime.h"
#include "utils/timestamp.h"

#include "transform/moment.h"

#define NANOS			INT64CONST(1000000000)
#define UNIX_DAY		UNIX_EPOCH_JDATE
#define MOST_SECONDS	(PG_INT64_MAX / NANOS)

/* ---------------------------------------------------------------------
 * Reading
 * ---------------------------------------------------------------------
 */
typedef struct Reader
{
	const char *at;
	const char *end;
} Reader;

static bool
take(Reader *reader, char c)
{
	if (reader->at == reader->end || *reader->at != c)
		return false;
	reader->at++;
	return true;
}

static bool
take_one_of(Reader *reader, const char *chars)
{
	if (reader->at == reader->end || *reader->at == '\0' || strchr(chars, *reader->at) == NULL)
		return false;
	reader->at++;
	return true;
}

static int
count_digits(const Reader *reader)
{
	const char *c = reader->at;

	while (c < reader->end && *c >= '0' && *c <= '9')
		c++;
	return c - reader->at;
}

/* A number of exactly so many digits, at most 18, which is no larger than most. */
static bool
take_number(Reader *reader, int digits, int64 most, int64 *number)
{
	*number = 0;
	if (count_digits(reader) < digits)
		return false;
	for (int i = 0; i < digits; i++)
		*number = *number * 10 + (*reader->at++ - '0');
	return *number <= most;
}

/* Of any length; what is behind the nanoseconds does not count. */
static bool
take_fraction(Reader *reader, int32 *nanoseconds)
{
	int			digits = count_digits(reader);
	int64		fraction;
	int			taken = Min(digits, 9);

	if (digits == 0 || !take_number(reader, taken, NANOS, &fraction))
		return false;
	for (int i = taken; i < 9; i++)
		fraction *= 10;
	reader->at += digits - taken;
	*nanoseconds = fraction;
	return true;
}

/* "Z", "+05:30", "+0530" or "+05". */
static bool
take_zone(Reader *reader, int32 *zone)
{
	bool		west = reader->at < reader->end && *reader->at == '-';
	int64		hours;
	int64		minutes = 0;

	if (take_one_of(reader, "Zz"))
		return true;
	if (!take_one_of(reader, "+-") || !take_number(reader, 2, 23, &hours))
		return false;
	if (take(reader, ':') || reader->at < reader->end)
	{
		if (!take_number(reader, 2, 59, &minutes))
			return false;
	}
	*zone = (hours * 60 + minutes) * 60;
	if (west)
		*zone = -*zone;
	return true;
}

static bool
take_date(Reader *reader, int64 *day)
{
	int64		year;
	int64		month;
	int64		of_month;

	if (!take_number(reader, 4, 9999, &year) || !take(reader, '-') ||
		!take_number(reader, 2, MONTHS_PER_YEAR, &month) || !take(reader, '-') ||
		!take_number(reader, 2, 31, &of_month) ||
		month == 0 || of_month == 0 || of_month > day_tab[isleap(year)][month - 1])
		return false;
	*day = date2j(year, month, of_month) - UNIX_DAY;
	return true;
}

static bool
take_time(Reader *reader, int64 *seconds, int32 *nanoseconds)
{
	int64		hour;
	int64		minute;
	int64		second = 0;

	if (!take_number(reader, 2, 23, &hour) || !take(reader, ':') || !take_number(reader, 2, 59, &minute))
		return false;
	if (take(reader, ':') &&
		(!take_number(reader, 2, 59, &second) ||
		 (take_one_of(reader, ".,") && !take_fraction(reader, nanoseconds))))
		return false;
	*seconds = (hour * 60 + minute) * 60 + second;
	return true;
}

static bool
read_digits(Reader *reader, int digits, Moment *moment)
{
	int64		seconds;
	int64		rest = 0;

	if (digits != 10 && digits != 13 && digits != 16 && digits != 19)
		return false;
	(void) take_number(reader, 10, PG_INT64_MAX, &seconds);
	if (digits > 10)
		(void) take_number(reader, digits - 10, NANOS, &rest);
	for (int i = digits; i < 19; i++)
		rest *= 10;
	moment->seconds = seconds;
	moment->nanoseconds = rest;
	return true;
}

bool
moment_read(const char *text, int len, Moment *moment)
{
	Reader		reader = {text, text + len};
	int64		day;
	int64		seconds = 0;

	*moment = (Moment) {0};
	if (len > 0 && count_digits(&reader) == len)
		return read_digits(&reader, len, moment);
	if (!take_date(&reader, &day))
		return false;
	if (reader.at < reader.end)
	{
		if (!take_one_of(&reader, "Tt ") || !take_time(&reader, &seconds, &moment->nanoseconds))
			return false;
		(void) take(&reader, ' ');
		if (reader.at < reader.end && !take_zone(&reader, &moment->zone))
			return false;
	}
	moment->seconds = day * SECS_PER_DAY + seconds - moment->zone;
	return reader.at == reader.end && (len == 0 || text[len - 1] != ' ');
}

/* ---------------------------------------------------------------------
 * Writing
 * ---------------------------------------------------------------------
 */
Moment
moment_of(TimestampTz time)
{
	int64		unix_us = time + (POSTGRES_EPOCH_JDATE - UNIX_DAY) * USECS_PER_DAY;
	int64		seconds = unix_us / USECS_PER_SEC;
	int64		us = unix_us % USECS_PER_SEC;

	if (us < 0)
	{
		seconds--;
		us += USECS_PER_SEC;
	}
	return (Moment) {.seconds = seconds, .nanoseconds = us / 1000 * 1000000};
}

char *
moment_text(const Moment *moment)
{
	int64		local = moment->seconds + moment->zone;
	int64		day = local / SECS_PER_DAY;
	int			second = local % SECS_PER_DAY;
	int			minutes = abs(moment->zone) / 60;
	int			year;
	int			month;
	int			of_month;
	char		zone[8] = "Z";

	if (second < 0)
	{
		day--;
		second += SECS_PER_DAY;
	}
	j2date(day + UNIX_DAY, &year, &month, &of_month);
	if (moment->zone != 0)
		snprintf(zone, sizeof(zone), "%c%02d:%02d", moment->zone < 0 ? '-' : '+', minutes / 60, minutes % 60);
	return psprintf("%04d-%02d-%02dT%02d:%02d:%02d.%03d%s", year, month, of_month,
					second / SECS_PER_HOUR, second / 60 % 60, second % 60, moment->nanoseconds / 1000000, zone);
}

/* Between two moments; what is longer than 292 years counts as that. */
static int64
difference(const Moment *later, const Moment *earlier)
{
	int64		seconds = later->seconds - earlier->seconds;

	if (seconds >= MOST_SECONDS)
		return PG_INT64_MAX;
	if (seconds <= -MOST_SECONDS)
		return PG_INT64_MIN + 1;
	return seconds * NANOS + later->nanoseconds - earlier->nanoseconds;
}

/* Where it is written, in a year that RFC 3339 can write? */
static bool
has_four_digits(const Moment *moment)
{
	int64		local = moment->seconds + moment->zone;

	return local >= (int64) (date2j(0, 1, 1) - UNIX_DAY) * SECS_PER_DAY &&
		local < (int64) (date2j(10000, 1, 1) - UNIX_DAY) * SECS_PER_DAY;
}

Moment
moment_by_our_clock(const Moment *received, const Moment *sent, const Moment *original)
{
	int64		ago = difference(sent, original);
	Moment		moment = *received;
	int64		nanoseconds = received->nanoseconds - ago % NANOS;

	moment.seconds -= ago / NANOS;
	if (nanoseconds < 0)
	{
		moment.seconds--;
		nanoseconds += NANOS;
	}
	else if (nanoseconds >= NANOS)
	{
		moment.seconds++;
		nanoseconds -= NANOS;
	}
	moment.nanoseconds = nanoseconds;
	return has_four_digits(&moment) ? moment : *received;
}
