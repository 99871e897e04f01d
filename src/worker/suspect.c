/*-------------------------------------------------------------------------
 *
 * suspect.c
 *		Which event a worker is at, and which it died at.
 *
 * The death of a worker by a signal restarts all of PostgreSQL; if an event is
 * the reason, it must not happen again and again.  Shared memory is made anew
 * in such a restart, and a table would cost a write for each event.  So the
 * note is in a file that is mapped into the process: what is stored there is
 * there after its death, and a store is all it costs.
 *
 * After its first death at an event the worker looks at that one by itself.
 * After the second it leaves it for a while, and after the third for good.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libpq/pqsignal.h"
#include "miscadmin.h"
#include "storage/fd.h"
#include "storage/ipc.h"

#include "worker/suspect.h"

/* A directory for what need not last, which backups leave out. */
#define NOTE_DIRECTORY	"pg_stat_tmp"
#define NOTE_NAME		"rswebhook.%u.%d"
#define NOTE_VERSION	2

#define DEATHS_ASIDE	2
#define DEATHS_LOST		3

typedef struct Suspect
{
	int64		event_id;		/* 0: none */
	TimestampTz queued_at;		/* an id can be that of another event one day */
	int32		destination_id;
	int16		deaths;
	bool		put_off;		/* since the last of these */
} Suspect;

typedef struct Note
{
	uint32		version;
	Suspect		at;				/* what the worker is at */
	Suspect		suspects[16];
} Note;

static volatile Note *note;		/* NULL: there is no file */
static char note_path[MAXPGPATH];
static int	nsuspects = 0;
static Suspect current;			/* as note->at, with or without a file */

/* ---------------------------------------------------------------------
 * The file
 * ---------------------------------------------------------------------
 */

/* That others die, or the server, says nothing of the event. */
static void
handle_sigquit(SIGNAL_ARGS)
{
	note->at.event_id = 0;
	_exit(2);					/* as the handler that this one replaces */
}

static void
close_note(int code, Datum arg)
{
	note->at.event_id = 0;
	if (nsuspects == 0)
		(void) unlink(note_path);
}

/* Of its full size, so that no store can fail for want of space. */
static volatile Note *
map_file(const char *path)
{
	int			fd = BasicOpenFile(path, O_RDWR | O_CREAT | PG_BINARY);
	struct stat st;
	Note		empty = {.version = NOTE_VERSION};
	void	   *map = MAP_FAILED;
	int			save_errno;

	if (fd < 0)
		return NULL;
	errno = ENOSPC;				/* what a short write means */
	if (fstat(fd, &st) == 0 &&
		(st.st_size == sizeof(Note) ||
		 (write(fd, &empty, sizeof(Note)) == sizeof(Note) && ftruncate(fd, sizeof(Note)) == 0)))
		map = mmap(NULL, sizeof(Note), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	save_errno = errno;
	close(fd);
	errno = save_errno;
	return map == MAP_FAILED ? NULL : map;
}

/* ---------------------------------------------------------------------
 * Suspects
 * ---------------------------------------------------------------------
 */

static bool
is_same(const volatile Suspect *a, const volatile Suspect *b)
{
	return a->event_id == b->event_id &&
		a->destination_id == b->destination_id &&
		a->queued_at == b->queued_at;
}

static volatile Suspect *
find(const volatile Suspect *wanted)
{
	for (int i = 0; note != NULL && i < lengthof(note->suspects); i++)
	{
		if (is_same(&note->suspects[i], wanted))
			return &note->suspects[i];
	}
	return NULL;
}

static Suspect
suspect_of(const QueueRow *row)
{
	return (Suspect) {
		.event_id = row->event_id,
		.queued_at = row->queued_at,
		.destination_id = row->destination_id
	};
}

static volatile Suspect *
find_row(const QueueRow *row)
{
	Suspect		wanted = suspect_of(row);

	return find(&wanted);
}

static void
count_suspects(void)
{
	nsuspects = 0;
	for (int i = 0; i < lengthof(note->suspects); i++)
		nsuspects += note->suspects[i].event_id != 0;
}

static void
forget(volatile Suspect *suspect)
{
	suspect->event_id = 0;
	suspect->deaths = 0;
}

/* The worker died at what the note says: remember it instead of one that did less harm. */
static void
count_death(void)
{
	volatile Suspect *suspect = find(&note->at);

	if (suspect == NULL)
	{
		suspect = &note->suspects[0];
		for (int i = 1; i < lengthof(note->suspects); i++)
		{
			if (note->suspects[i].deaths < suspect->deaths)
				suspect = &note->suspects[i];
		}
		*suspect = note->at;
		suspect->deaths = 0;
	}
	suspect->deaths++;
	suspect->put_off = false;
	ereport(LOG,
			(errmsg("an rswebhook worker died while it prepared event " INT64_FORMAT " for destination %d, %d time(s) by now",
					suspect->event_id, suspect->destination_id, suspect->deaths),
			 errdetail("It is prepared by itself now; put off after the second time, and given up after the third.")));
}

void
suspect_init(int share)
{
	snprintf(note_path, sizeof(note_path), NOTE_DIRECTORY "/" NOTE_NAME, MyDatabaseId, share);
	note = map_file(note_path);
	if (note == NULL)
	{
		ereport(LOG,
				(errcode_for_file_access(),
				 errmsg("could not map file \"%s\": %m", note_path),
				 errdetail("Should an event be the death of this rswebhook worker, that will not be known.")));
		return;
	}
	if (note->version != NOTE_VERSION)
	{
		memset(unvolatize(Note *, note), 0, sizeof(Note));
		note->version = NOTE_VERSION;
	}
	if (note->at.event_id != 0)
		count_death();
	note->at.event_id = 0;
	count_suspects();
	before_shmem_exit(close_note, 0);	/* before another worker has the share */
	pqsignal(SIGQUIT, handle_sigquit);
}

void
suspect_note(const QueueRow *row)
{
	current = row != NULL ? suspect_of(row) : (Suspect) {0};
	if (note == NULL)
		return;
	note->at.event_id = 0;		/* nothing, while it is half written */
	note->at.destination_id = current.destination_id;
	note->at.queued_at = current.queued_at;
	note->at.event_id = current.event_id;
}

bool
suspect_is(const QueueRow *row)
{
	Suspect		wanted = suspect_of(row);

	return is_same(&current, &wanted);
}

SuspectFate
suspect_fate(const QueueRow *row)
{
	volatile Suspect *suspect;

	if (nsuspects == 0)
		return SUSPECT_NOT;
	suspect = find_row(row);
	if (suspect == NULL)
		return SUSPECT_NOT;
	if (suspect->deaths >= DEATHS_LOST)
		return SUSPECT_LOST;
	return suspect->deaths >= DEATHS_ASIDE && !suspect->put_off ?
		SUSPECT_ASIDE : SUSPECT_ALONE;
}

void
suspect_put_off(const QueueRow *row)
{
	volatile Suspect *suspect = find_row(row);

	if (suspect != NULL)
		suspect->put_off = true;
}

void
suspect_forget(const QueueRow *row)
{
	volatile Suspect *suspect;

	if (nsuspects == 0)
		return;
	suspect = find_row(row);
	if (suspect == NULL)
		return;
	forget(suspect);
	count_suspects();
}

void
suspect_review(bool (*owed) (int32 destination_id, int64 event_id, TimestampTz queued_at))
{
	if (nsuspects == 0)
		return;
	for (int i = 0; i < lengthof(note->suspects); i++)
	{
		volatile Suspect *suspect = &note->suspects[i];

		if (suspect->event_id != 0 &&
			(owed == NULL ||
			 !owed(suspect->destination_id, suspect->event_id, suspect->queued_at)))
			forget(suspect);
	}
	count_suspects();
}

/* ---------------------------------------------------------------------
 * Files that nobody has
 * ---------------------------------------------------------------------
 */

void
suspect_clean_up(const List *databases, int nshares)
{
	DIR		   *dir = AllocateDir(NOTE_DIRECTORY);
	struct dirent *entry;

	while ((entry = ReadDirExtended(dir, NOTE_DIRECTORY, LOG)) != NULL)
	{
		Oid			database;
		int			share;
		char		path[MAXPGPATH];

		if (sscanf(entry->d_name, NOTE_NAME, &database, &share) != 2 ||
			(list_member_oid(databases, database) && share < nshares))
			continue;
		snprintf(path, sizeof(path), NOTE_DIRECTORY "/%s", entry->d_name);
		(void) unlink(path);
	}
	FreeDir(dir);
}
