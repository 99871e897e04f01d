/*-------------------------------------------------------------------------
 *
 * warn.c
 *		What is wrong with a webhook does not fail the application's write.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/transam.h"
#include "access/xact.h"
#include "mb/pg_wchar.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/memutils.h"

#include "api/send.h"
#include "api/sender.h"
#include "api/sink.h"
#include "api/trigger_names.h"
#include "api/warn.h"
#include "base/messages.h"
#include "base/subtransaction.h"
#include "destination/named.h"
#include "destination/table.h"
#include "shmem/changes.h"
#include "tables/message.h"
#include "tables/tables.h"

const char *const warn_on_error_values[] = {"warn", "raise", NULL};

/* What is nothing of a webhook's: the application must hear of it. */
static bool
is_the_applications(int sqlerrcode)
{
	return subtransaction_is_about_all(sqlerrcode) || subtransaction_is_lack(sqlerrcode) ||
		sqlerrcode == ERRCODE_STATEMENT_TOO_COMPLEX ||
		sqlerrcode == ERRCODE_DATA_CORRUPTED || sqlerrcode == ERRCODE_INDEX_CORRUPTED;
}

/* Of each of an error's texts: whoever reads it in a log or a table reads one line. */
#define MAX_TEXT	500

/* In one line, of no more than so many bytes. */
static char *
in_one_line(const char *text, int max)
{
	int			len = strlen(text);
	char	   *line = len <= max ? pstrdup(text) :
		psprintf("%.*s...", pg_mbcliplen(text, len, max - 3), text);

	for (char *c = line; *c != '\0'; c++)
	{
		if ((unsigned char) *c < ' ' || *c == '\x7f')
			*c = ' ';
	}
	return line;
}

/*
 * Without what PostgreSQL quotes of a value that it cannot read: from the first quotes
 * that do not have one character in them, as punctuation has, to the last ones, or to the
 * end of what in_one_line() has cut off.
 */
static char *
without_quoted(const char *text)
{
	static const char cut[] = "...";
	const char *first = strchr(text, '"');
	const char *last = strrchr(text, '"');
	int			len = strlen(text);

	while (first != NULL && first + 2 <= last && first[2] == '"' && first[1] != '"')
		first = strchr(first + 3, '"');
	if (first == NULL)
		return pstrdup(text);
	if (len >= strlen(cut) && strcmp(text + len - strlen(cut), cut) == 0)
		last = text + len - strlen(cut) - 1;
	else if (first == last)
		return pstrdup(text);
	return psprintf("%.*s\"***\"%s", (int) (first - text), text, last + 1);
}

/* Of an error that was caught; NULL: it has none. */
static const char *
shown_text(const char *text)
{
	return text == NULL ? NULL : in_one_line(text, MAX_TEXT);
}

bool
warn_try(void (*step) (void *arg), void *arg, Refusal *refusal)
{
	ErrorData  *error = subtransaction_try(step, arg);

	if (error == NULL)
		return true;
	if (is_the_applications(error->sqlerrcode))
		ReThrowError(error);
	/* a constraint's detail quotes the row */
	(void) refusal_set(refusal, error->sqlerrcode, shown_text(error->message),
					   ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_INTEGRITY_CONSTRAINT_VIOLATION ?
					   NULL : shown_text(error->detail), shown_text(error->hint));
	refusal->caught = true;
	return false;
}

typedef struct Looking
{
	TimestampTz now;
	bool		plain;
} Looking;

/* Is nothing of somebody else's part of a store? */
static void
look_at_store(void *arg)
{
	Looking    *looking = arg;

	looking->plain = store_is_plain(looking->now);
}

/* Something may be: then each is stored by itself. */
static void
store_alone(void *arg)
{
	const Prepared *prepared = arg;
	Store	   *store = store_begin(prepared->times.now, false);

	(void) store_add(store, prepared);
	store_end(store);
}

void
warn_doubt(SendTrust *trust, TimestampTz now)
{
	int16		ring_part = tables_ring_part(now);
	uint64		changes;

	/* whoever changes a table may do so between two rows of a statement */
	AcceptInvalidationMessages();
	changes = sink_changes() + sender_changes() + changes_resets();
	if (trust->changes != changes || trust->ring_part != ring_part)
		*trust = (SendTrust) {SEND_UNTRIED, changes, ring_part};
}

bool
warn_store(bool raises, SendTrust *trust, Sending *sending, const Prepared *prepared, Refusal *refusal)
{
	Looking		looking = {sending->now, false};

	if (prepared->count == 0)
		return true;
	if (!raises && trust->level == SEND_UNTRIED)
		trust->level = warn_try(look_at_store, &looking, refusal) && looking.plain ? SEND_PLAIN : SEND_MAY_FAIL;
	if (!raises && (trust->level == SEND_MAY_FAIL || (prepared->once && !message_is_plain())))
		return warn_try(store_alone, unconstify(Prepared *, prepared), refusal);
	(void) send_store(sending, prepared);
	return true;
}

/* Of so many triggers a transaction is warned, and of others once for all. */
#define MAX_WARNED	100

/* Those that this transaction has been warned of, in its memory. */
static HTAB *
warned_triggers(void)
{
	static TransactionId transaction = InvalidTransactionId;
	static HTAB *warned = NULL;
	HASHCTL		control = {.keysize = sizeof(Oid), .entrysize = sizeof(Oid)};

	if (transaction == GetTopTransactionId())
		return warned;
	transaction = InvalidTransactionId;
	control.hcxt = TopTransactionContext;
	warned = hash_create("rswebhook warned triggers", 16, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	transaction = GetTopTransactionId();
	return warned;
}

/*
 * Has the transaction been warned of this trigger?  If not, now it has, or of there being
 * others.  Those of partitions are one with what they were made of.
 */
static bool
is_warned(const Trigger *trigger)
{
	HTAB	   *warned = warned_triggers();
	Oid			key = trigger->tgisclone ? trigger_names_original(trigger->tgoid) : trigger->tgoid;
	bool		found;

	(void) hash_search(warned, &key, HASH_FIND, &found);
	if (found)
		return true;
	if (hash_get_num_entries(warned) < MAX_WARNED)
	{
		(void) hash_search(warned, &key, HASH_ENTER, &found);
		return false;
	}
	key = InvalidOid;
	(void) hash_search(warned, &key, HASH_ENTER, &found);
	if (!found)
		ereport(WARNING,
				(errcode(ERRCODE_WARNING),
				 errmsg("and others: more than %d triggers could not send in this transaction", MAX_WARNED),
				 errhint("What they refused is in rswebhook.delivery.")));
	return true;
}

/* The event, if it can be one, is stored without being owed to anybody. */
static int64
store_event(Datum event, const char *ordering_key, TimestampTz now)
{
	Refusal		ignored;
	Prepared	prepared = {.event = event, .times.now = now};
	Store	   *store;
	int64		id;

	if (event != (Datum) 0)
		prepared.checked = accept_event(event, ENRICH_NO, now, &ignored);
	if (prepared.checked == NULL)
		return 0;
	if (accept_ordering_key(ordering_key, &ignored))
		prepared.ordering_key = ordering_key;
	store = store_begin(now, false);
	id = store_add(store, &prepared);
	store_end(store);
	return id;
}

/* How the destination's id is found. */
typedef enum Finding
{
	FIND_NAMED,
	FIND_IN_ANY,				/* though its table is not as it has to be */
	FIND_NOT
} Finding;

/* What is recorded. */
typedef struct Record
{
	const char *trigger;
	const char *destination;	/* NULL: none is named */
	Datum		event;
	const char *ordering_key;
	TimestampTz now;
	const char *reason;
	Finding		finding;
	bool		not_enriched;
	bool		alert;			/* somebody is to be told */
} Record;

static int32
id_of(const Record *record)
{
	NamedDestination dest;

	if (record->destination == NULL || record->finding == FIND_NOT)
		return 0;
	if (record->finding == FIND_IN_ANY)
		return destination_id_in_any(record->destination);
	return destination_named(record->destination, &dest) ? dest.id : 0;
}

/* A reason is one line of no more bytes. */
#define MAX_REASON	1000

/* No destination has a longer name. */
#define MAX_DESTINATION_NAME	63

/*
 * Where there is no id, the name is told as rswebhook.refused_for() reads it, and what is not to be
 * sent as it is as rswebhook.is_not_enriched() does, whatever else was wrong.
 */
static char *
text_of(const Record *record, int32 id)
{
	const char *state = record->not_enriched ? " (not enriched)" : "";

	if (id != 0 || record->destination == NULL || strlen(record->destination) > MAX_DESTINATION_NAME)
		return in_one_line(psprintf("trigger %s%s: %s", refusal_quoted(record->trigger), state, record->reason),
						   MAX_REASON);
	return in_one_line(psprintf("trigger %s for %s%s: %s", refusal_quoted(record->trigger),
								refusal_quoted(record->destination), state, record->reason), MAX_REASON);
}

static void
write_record(void *arg)
{
	const Record *record = arg;
	int64		event_id = store_event(record->event, record->ordering_key, record->now);
	int32		id = id_of(record);

	store_refused(event_id, id, record->now, text_of(record, id));
	if (record->alert)
		store_alert_refused(event_id, id);
}

/* What was wrong may be so with the record, too: then with less of it. */
static void
write_what_can_be(Record *record)
{
	static const Finding findings[] = {FIND_NAMED, FIND_IN_ANY, FIND_NOT};
	Refusal		ignored;

	for (int without_event = 0; without_event < 2; without_event++)
	{
		if (without_event)
			record->event = (Datum) 0;
		for (int i = 0; i < 2 * lengthof(findings); i++)
		{
			record->finding = findings[i / 2];
			record->alert = i % 2 == 0;
			if (warn_try(write_record, record, &ignored))
				return;
		}
	}
}

/* A trigger of ours on rswebhook.delivery may be refused as well: of that there is no record. */
static bool recording = false;

static void
write_once(Record *record)
{
	recording = true;
	PG_TRY();
	{
		write_what_can_be(record);
	}
	PG_FINALLY();
	{
		recording = false;
	}
	PG_END_TRY();
}

/* A destination that is not there, or not for this role, may have another name now, which triggers do not know. */
static void
report_naming(const Refusal *refusal, int elevel, const char *where, const char *destination)
{
	Refusal		with_names = *refusal;
	const char *names = NULL;

	if ((refusal->sqlerrcode == ERRCODE_UNDEFINED_OBJECT || refusal->denied) && destination != NULL && !refusal->hidden)
		names = trigger_names_of(destination);
	if (names != NULL)
		with_names.hint = refusal->hint == NULL ? names : psprintf("%s %s", refusal->hint, names);
	refusal_report(&with_names, elevel, where);
}

/* Who may read deliveries may not read payloads. */
static const char *
recorded_text(const Refusal *refusal, const char *text)
{
	if (!refusal->caught || ERRCODE_TO_CATEGORY(refusal->sqlerrcode) != ERRCODE_DATA_EXCEPTION)
		return text;
	return messages_are_english() ? without_quoted(text) :
		psprintf("*** (SQLSTATE %s)", unpack_sql_state(refusal->sqlerrcode));
}

/* As it is recorded: who reads that may know whether there is such a destination. */
static const char *
reason_of(const Refusal *refusal, bool unknown, const char *destination)
{
	const char *reason = recorded_text(refusal, refusal->message);

	if (unknown && destination != NULL)
		reason = psprintf("permission not known for destination %s: %s", refusal_quoted(destination), reason);
	if (refusal->detail != NULL)
		reason = psprintf("%s: %s", reason, recorded_text(refusal, refusal->detail));
	return refusal->nameless ? psprintf("%s There is none of that name.", reason) : reason;
}

void
warn_refused(bool raises, const Trigger *trigger, const char *destination, Datum event,
			 const char *ordering_key, TimestampTz now, bool unknown, const Refusal *refusal, const Refusal *told)
{
	char	   *where = psprintf("trigger \"%s\"", trigger->tgname);
	Record		record = {
		.trigger = trigger->tgname,
		.destination = destination,
		.event = event,
		.ordering_key = ordering_key,
		.now = now,
		.reason = reason_of(refusal, unknown, destination),
		.not_enriched = refusal->not_enriched && event != (Datum) 0
	};

	if (raises)
		report_naming(told, ERROR, where, destination);
	if (!recording)
		write_once(&record);
	if (!is_warned(trigger))
		report_naming(told, WARNING, where, destination);
}

void
warn_once(const Trigger *trigger, const Refusal *refusal)
{
	if (!is_warned(trigger))
		refusal_report(refusal, WARNING, psprintf("trigger \"%s\"", trigger->tgname));
}
