/*-------------------------------------------------------------------------
 *
 * filter_errors.c
 *		What went wrong in destinations' filters: senders note it, rswebhook.status
 *		shows it.
 *
 * An error in a filter keeps the event from its destination and is nobody else's
 * matter, so it must be seen somewhere.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "funcapi.h"
#include "miscadmin.h"
#include "storage/shmem.h"
#include "utils/hsearch.h"
#include "utils/tuplestore.h"

#include "base/compat.h"
#include "base/encoding.h"
#include "shmem/control.h"
#include "shmem/filter_errors.h"

/* Destinations of the cluster; beyond so many, one that was there goes. */
#define MAX_NOTED	512

typedef struct NoteKey
{
	Oid			database;
	int32		destination_id;
} NoteKey;

typedef struct Note
{
	NoteKey		key;
	int64		count;
	char		last[200];
} Note;

static HTAB *notes = NULL;

Size
filter_errors_size(void)
{
	return hash_estimate_size(MAX_NOTED, sizeof(Note));
}

/* The caller holds AddinShmemInitLock. */
void
filter_errors_startup(void)
{
	HASHCTL		info = {0};

	info.keysize = sizeof(NoteKey);
	info.entrysize = sizeof(Note);
	notes = init_shared_hash("rswebhook filter errors", MAX_NOTED, &info, HASH_ELEM | HASH_BLOBS);
}

/* The caller holds stats_lock. */
static void
make_room(void)
{
	HASH_SEQ_STATUS scan;
	Note	   *any;

	if (hash_get_num_entries(notes) < MAX_NOTED)
		return;
	hash_seq_init(&scan, notes);
	any = hash_seq_search(&scan);
	hash_seq_term(&scan);
	(void) hash_search(notes, &any->key, HASH_REMOVE, NULL);
}

void
filter_errors_note(int32 destination_id, const char *message)
{
	NoteKey		key = {MyDatabaseId, destination_id};
	Note	   *note;
	bool		found;

	if (shmem_control == NULL)
		return;
	LWLockAcquire(&shmem_control->stats_lock, LW_EXCLUSIVE);
	note = hash_search(notes, &key, HASH_FIND, NULL);
	found = note != NULL;
	if (!found)
	{
		make_room();
		note = hash_search(notes, &key, HASH_ENTER_NULL, NULL);
	}
	if (note != NULL)
	{
		note->count = found ? note->count + 1 : 1;
		strlcpy(note->last, message, sizeof(note->last));
	}
	LWLockRelease(&shmem_control->stats_lock);
}

static Note *
copy_notes(int *count)
{
	HASH_SEQ_STATUS scan;
	Note	   *note;
	Note	   *copies;

	*count = 0;
	LWLockAcquire(&shmem_control->stats_lock, LW_SHARED);
	copies = palloc(sizeof(Note) * Max(hash_get_num_entries(notes), 1));
	hash_seq_init(&scan, notes);
	while ((note = hash_seq_search(&scan)) != NULL)
	{
		if (note->key.database == MyDatabaseId)
			copies[(*count)++] = *note;
	}
	LWLockRelease(&shmem_control->stats_lock);
	return copies;
}

SQL_FUNCTION(rswebhook_filter_errors);

Datum
rswebhook_filter_errors(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	Note	   *copies;
	int			count;

	InitMaterializedSRF(fcinfo, 0);
	if (shmem_control == NULL)
		return (Datum) 0;
	copies = copy_notes(&count);
	for (int i = 0; i < count; i++)
	{
		Datum		values[3];
		bool		nulls[3] = {0};

		CHECK_FOR_INTERRUPTS();
		values[0] = Int32GetDatum(copies[i].key.destination_id);
		values[1] = Int64GetDatum(copies[i].count);
		/* cut anywhere, in the middle of a character, too */
		values[2] = encoding_readable(copies[i].last, strlen(copies[i].last));
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	return (Datum) 0;
}
