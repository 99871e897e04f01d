/*-------------------------------------------------------------------------
 *
 * suspect.c
 *		Which event a worker is at, and of which workers died.
 *
 * The death of a worker by a signal restarts all of PostgreSQL; if an event is
 * the reason, it must not happen again and again.  Shared memory is made anew
 * in such a restart, and a table would cost a write for each event.  So the
 * note is in a file that is mapped into the workers of a database: what is
 * stored there is there after their death, and a store is all it costs.
 *
 * Deaths are counted by event, whatever destination it was prepared for and
 * whichever worker died.  After the first the event is prepared by itself.  After
 * the second it is left for a while, and after the third for good.  An event is
 * forgotten once nobody is owed it, and not before: what was decided of it may
 * not be recorded yet when the worker dies of another one.
 *
 * The launcher counts, before it starts the next worker, since only then is it
 * sure that whoever has left a note is dead.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libpq/pqsignal.h"
#include "miscadmin.h"
#include "storage/fd.h"
#include "storage/ipc.h"

#include "shmem/share.h"
#include "worker/suspect.h"

/* A directory for what need not last, which backups leave out. */
#define NOTE_DIRECTORY	"pg_stat_tmp"
#define NOTE_NAME		"rswebhook.%u"
#define NOTE_VERSION	5

#define DEATHS_ASIDE	2
#define DEATHS_LOST		3

/* Beyond so many, the suspect that did least harm is forgotten for the next. */
#define MAX_SUSPECTS	256

/* The death of a worker that has lasted so long is not one more in a row. */
#define LASTED_US		(60 * USECS_PER_SEC)

/* How often it is looked whether suspects are owed still. */
#define REVIEW_US		(5 * USECS_PER_SEC)

/* An event; an id can be that of another one when the ring has gone round. */
typedef struct Payload
{
	int64		event_id;		/* 0: none */
	int16		ring_part;
	bool		recording;		/* its outcome was recorded, not its request made */
	int32		destination_id; /* whose request or outcome that was */
} Payload;

typedef struct Suspect
{
	Payload		payload;
	TimestampTz died_at;		/* the last time; when that was counted */
	int32		deaths;
	int32		recording;		/* so many of them while its outcome was recorded */
} Suspect;

/* A worker's part of the note. */
typedef struct Place
{
	Payload		at;				/* what the worker is at */
	Instant		since;			/* when it began */
	int32		pid;			/* 0: it has left, or was made to by others */
	bool		died;			/* one that had it did, in the present row of deaths */
} Place;

typedef struct Note
{
	uint32		version;
	int16		deaths;			/* of workers, in a row */
	bool		unknown;		/* one of them died of who knows what */
	Place		places[MAX_SHARES];
	Suspect		suspects[MAX_SUSPECTS];
} Note;

static volatile Note *note;		/* NULL: there is no file */
static volatile Place *mine;	/* NULL, too, then */
static char note_path[MAXPGPATH];
static int	nsuspects = 0;
static Instant next_review = 0;
static Payload current;			/* as mine->at, with or without a file */

/* ---------------------------------------------------------------------
 * The file
 * ---------------------------------------------------------------------
 */

/*
 * Open the file, locked until it is closed: nobody else makes or removes it meanwhile.
 * -1: see errno.
 */
static int
open_locked(const char *path, int flags)
{
	for (;;)
	{
		int			fd = BasicOpenFile(path, O_RDWR | flags | PG_BINARY);
		struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
		struct stat st;
		int			save_errno;

		if (fd < 0)
			return -1;
		if (fcntl(fd, F_SETLKW, &lock) == 0 && fstat(fd, &st) == 0)
		{
			if (st.st_nlink > 0)
				return fd;
			close(fd);			/* somebody has just removed it */
			continue;
		}
		save_errno = errno;
		close(fd);
		if (save_errno == EINTR)
			continue;
		errno = save_errno;
		return -1;
	}
}

/* Of its full size, so that no store can fail for want of space. */
static volatile Note *
map_file(int fd)
{
	static const Note empty = {.version = NOTE_VERSION};
	struct stat st;
	Note	   *map;

	if (fstat(fd, &st) != 0)
		return NULL;
	errno = ENOSPC;				/* what a short write means */
	if (st.st_size != sizeof(Note) &&
		(write(fd, &empty, sizeof(Note)) != sizeof(Note) || ftruncate(fd, sizeof(Note)) != 0))
		return NULL;
	map = mmap(NULL, sizeof(Note), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		return NULL;
	if (map->version != NOTE_VERSION)
		*map = empty;
	return map;
}

/* Another process died, or the server is to stop: that says nothing of the event. */
static void
handle_sigquit(SIGNAL_ARGS)
{
	mine->at.event_id = 0;
	mine->pid = 0;
	_exit(2);					/* as the default handler does */
}

static bool
is_empty(void)
{
	bool		used = note->deaths > 0;

	for (int i = 0; i < MAX_SHARES; i++)
		used |= note->places[i].pid != 0;
	for (int i = 0; i < MAX_SUSPECTS; i++)
		used |= note->suspects[i].payload.event_id != 0;
	return !used;
}

static void
end_row_of_deaths(volatile Note *in)
{
	in->deaths = 0;
	for (int i = 0; i < MAX_SHARES; i++)
		in->places[i].died = false;
}

/* A worker that ends as it should, or has lasted, ends a row of deaths. */
static void
close_note(int code, Datum arg)
{
	int			fd = open_locked(note_path, 0);

	mine->at.event_id = 0;
	mine->pid = 0;
	if (code == 0 || clock_now() - mine->since >= LASTED_US)
		end_row_of_deaths(note);
	if (fd < 0)
		return;
	if (is_empty())
		(void) unlink(note_path);
	close(fd);
}

/* ---------------------------------------------------------------------
 * Deaths
 * ---------------------------------------------------------------------
 */

static bool
is_same(const volatile Payload *a, const volatile Payload *b)
{
	return a->event_id == b->event_id && a->ring_part == b->ring_part;
}

static volatile Suspect *
find(volatile Note *in, const volatile Payload *wanted)
{
	for (int i = 0; i < MAX_SUSPECTS; i++)
	{
		if (is_same(&in->suspects[i].payload, wanted))
			return &in->suspects[i];
	}
	return NULL;
}

/* Count a death against an event, if need be in the place of a lesser suspect. */
static void
count_against(volatile Note *in, const volatile Payload *payload)
{
	volatile Suspect *suspect = find(in, payload);

	if (suspect == NULL)
	{
		suspect = &in->suspects[0];
		for (int i = 1; i < MAX_SUSPECTS; i++)
		{
			if (in->suspects[i].deaths < suspect->deaths)
				suspect = &in->suspects[i];
		}
		suspect->deaths = suspect->recording = 0;
	}
	suspect->payload = *payload;
	clock_note();
	suspect->died_at = clock_wall(clock_now());
	suspect->deaths++;
	suspect->recording += payload->recording;
	ereport(LOG,
			(errmsg("an rswebhook worker died while it %s event " INT64_FORMAT " for destination %d, %d time(s) by now",
					payload->recording ? "recorded the outcome of" : "prepared",
					payload->event_id, payload->destination_id, suspect->deaths),
			 errdetail("It is prepared by itself now; put off after the second time, and given up after the third.")));
}

int
suspect_count_deaths(Oid database, int share, uint32 *shares)
{
	char		path[MAXPGPATH];
	volatile Note *seen;
	Instant		now = clock_now();
	int			deaths = 0;
	int			fd;

	*shares = 0;
	snprintf(path, sizeof(path), NOTE_DIRECTORY "/" NOTE_NAME, database);
	fd = open_locked(path, 0);
	if (fd < 0)
		return 0;				/* as a rule */
	seen = map_file(fd);
	for (int i = 0; seen != NULL && i < MAX_SHARES; i++)
	{
		volatile Place *place = &seen->places[i];

		if (place->pid == 0 || (i != share && kill(place->pid, 0) == 0))
			continue;
		if (now < place->since || now - place->since >= LASTED_US)
			end_row_of_deaths(seen);
		seen->unknown = place->at.event_id == 0 || (seen->unknown && seen->deaths > 0);
		seen->deaths = Min(seen->deaths + 1, PG_INT16_MAX);
		place->pid = 0;
		place->died = true;
		if (place->at.event_id != 0)
			count_against(seen, &place->at);
		place->at.event_id = 0;
	}
	if (seen != NULL)
	{
		for (int i = 0; i < MAX_SHARES; i++)
			*shares |= seen->places[i].died ? SHARE_BIT(i) : 0;
		deaths = seen->deaths;
		munmap(unvolatize(Note *, seen), sizeof(Note));
	}
	close(fd);
	return deaths;
}

/* ---------------------------------------------------------------------
 * Suspects
 * ---------------------------------------------------------------------
 */

static void
count_suspects(void)
{
	nsuspects = 0;
	for (int i = 0; i < MAX_SUSPECTS; i++)
		nsuspects += note->suspects[i].payload.event_id != 0;
}

void
suspect_init(Oid database, int share)
{
	int			fd;

	snprintf(note_path, sizeof(note_path), NOTE_DIRECTORY "/" NOTE_NAME, database);
	fd = open_locked(note_path, O_CREAT);
	note = fd >= 0 ? map_file(fd) : NULL;
	if (note == NULL)
	{
		ereport(LOG,
				(errcode_for_file_access(),
				 errmsg("could not map file \"%s\": %m", note_path),
				 errdetail("Should an event be the death of this rswebhook worker, that will not be known.")));
		if (fd >= 0)
			close(fd);
		return;
	}
	mine = &note->places[share];
	mine->at.event_id = 0;
	mine->since = clock_now();
	mine->pid = MyProcPid;
	close(fd);
	count_suspects();
	before_shmem_exit(close_note, 0);	/* before another worker has the share */
	pqsignal(SIGQUIT, handle_sigquit);
}

bool
suspect_wary(void)
{
	return nsuspects > 0 || suspect_very_wary();
}

bool
suspect_very_wary(void)
{
	return note != NULL && note->deaths > 0 &&
		(note->unknown || note->deaths >= DEATHS_ASIDE) &&
		clock_now() - mine->since < LASTED_US;
}

static Payload
payload_of(const QueueRow *row)
{
	return (Payload) {
		.event_id = row->event_id,
		.ring_part = row->event_slot,
		.destination_id = row->destination_id
	};
}

static void
set_current(Payload payload)
{
	current = payload;
	if (mine == NULL)
		return;
	mine->at.event_id = 0;		/* nothing, while it is half written */
	mine->at.ring_part = payload.ring_part;
	mine->at.recording = payload.recording;
	mine->at.destination_id = payload.destination_id;
	mine->at.event_id = payload.event_id;
}

void
suspect_note(const QueueRow *row)
{
	set_current(row != NULL ? payload_of(row) : (Payload) {0});
}

void
suspect_note_recording(const QueueRow *row)
{
	Payload		payload = payload_of(row);

	payload.recording = true;
	set_current(payload);
}

bool
suspect_is(const QueueRow *row)
{
	Payload		wanted = payload_of(row);

	return is_same(&current, &wanted) && current.destination_id == wanted.destination_id;
}

static void
forget(volatile Suspect *suspect)
{
	suspect->payload.event_id = 0;
	suspect->deaths = suspect->recording = 0;
}

/* Was that time shown after the last death, or is it yet to come, however the clock was set? */
static bool
is_since(TimestampTz at, const volatile Suspect *suspect)
{
	Instant		now = clock_now();

	return clock_age(at, now) < clock_age(suspect->died_at, now);
}

SuspectFate
suspect_fate(const QueueRow *row)
{
	Payload		payload = payload_of(row);
	volatile Suspect *suspect;

	if (nsuspects == 0)
		return SUSPECT_NOT;
	suspect = find(note, &payload);
	if (suspect == NULL)
		return SUSPECT_NOT;
	if (is_since(row->queued_at, suspect))	/* replayed, or another one with its id */
		suspect->deaths = suspect->recording = 0;
	if (suspect->deaths >= DEATHS_LOST)
		return SUSPECT_LOST;
	return suspect->deaths >= DEATHS_ASIDE && !is_since(row->retry_at, suspect) ?
		SUSPECT_ASIDE : SUSPECT_ALONE;
}

SuspectStep
suspect_step(const QueueRow *row)
{
	Payload		payload = payload_of(row);
	volatile Suspect *suspect = nsuspects > 0 ? find(note, &payload) : NULL;

	if (suspect == NULL || suspect->recording == 0)
		return STEP_MADE;
	return suspect->recording == suspect->deaths ? STEP_RECORDED : STEP_EITHER;
}

bool
suspect_review_is_due(Instant now)
{
	return nsuspects > 0 && now >= next_review;
}

void
suspect_review(bool (*owed) (int64 event_id, int16 ring_part))
{
	for (int i = 0; i < MAX_SUSPECTS && nsuspects > 0; i++)
	{
		volatile Suspect *suspect = &note->suspects[i];

		if (suspect->payload.event_id != 0 &&
			(owed == NULL || !owed(suspect->payload.event_id, suspect->payload.ring_part)))
			forget(suspect);
	}
	if (nsuspects > 0)
		count_suspects();
	next_review = clock_now() + REVIEW_US;
}

/* ---------------------------------------------------------------------
 * Files that nobody has
 * ---------------------------------------------------------------------
 */

void
suspect_clean_up(const List *databases)
{
	DIR		   *dir = AllocateDir(NOTE_DIRECTORY);
	struct dirent *entry;

	while ((entry = ReadDirExtended(dir, NOTE_DIRECTORY, LOG)) != NULL)
	{
		Oid			database;
		char		path[MAXPGPATH];

		if (sscanf(entry->d_name, NOTE_NAME, &database) != 1 ||
			list_member_oid(databases, database))
			continue;
		snprintf(path, sizeof(path), NOTE_DIRECTORY "/%s", entry->d_name);
		(void) unlink(path);
	}
	FreeDir(dir);
}
