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

#include "api/send.h"
#include "api/trigger_names.h"
#include "api/warn.h"
#include "base/subtransaction.h"
#include "destination/named.h"
#include "tables/message.h"

const char *const warn_on_error_values[] = {"warn", "raise", NULL};

/* What is nothing of a webhook's: the application must hear of it. */
static bool
is_the_applications(int sqlerrcode)
{
	return subtransaction_is_about_all(sqlerrcode) || subtransaction_is_lack(sqlerrcode) ||
		sqlerrcode == ERRCODE_STATEMENT_TOO_COMPLEX ||
		sqlerrcode == ERRCODE_DATA_CORRUPTED || sqlerrcode == ERRCODE_INDEX_CORRUPTED;
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
	(void) refusal_set(refusal, error->sqlerrcode, error->message,
					   ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_INTEGRITY_CONSTRAINT_VIOLATION ?
					   NULL : error->detail, error->hint);
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

bool
warn_store(bool raises, SendTrust *trust, Sending *sending, const Prepared *prepared, Refusal *refusal)
{
	Looking		looking = {sending->now, false};

	if (prepared->count == 0)
		return true;
	if (!raises && *trust == SEND_UNTRIED)
		*trust = warn_try(look_at_store, &looking, refusal) && looking.plain ? SEND_PLAIN : SEND_MAY_FAIL;
	if (!raises && (*trust == SEND_MAY_FAIL || (prepared->once && !message_is_plain())))
		return warn_try(store_alone, unconstify(Prepared *, prepared), refusal);
	(void) send_store(sending, prepared);
	return true;
}

/* Has the transaction been warned of this trigger?  If not, now it has. */
static bool
is_warned(const Trigger *trigger)
{
	static TransactionId transaction = InvalidTransactionId;
	static Oid	warned[16];
	static int	nwarned = 0;

	if (transaction != GetTopTransactionId())
		nwarned = 0;
	transaction = GetTopTransactionId();
	for (int i = 0; i < nwarned; i++)
	{
		if (warned[i] == trigger->tgoid)
			return true;
	}
	if (nwarned < lengthof(warned))
		warned[nwarned++] = trigger->tgoid;
	return false;
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

static int32
id_of(const char *name)
{
	NamedDestination dest;

	return name != NULL && destination_named(name, &dest) ? dest.id : 0;
}

/* What is recorded. */
typedef struct Record
{
	const char *destination;
	Datum		event;
	const char *ordering_key;
	TimestampTz now;
	const char *reason;
} Record;

static void
write_record(void *arg)
{
	const Record *record = arg;

	store_refused(store_event(record->event, record->ordering_key, record->now), id_of(record->destination),
				  record->now, record->reason);
}

/* What was wrong may be so with the record, too: then with less of it. */
static void
write_what_can_be(Record *record)
{
	const char *destination = record->destination;
	Refusal		ignored;

	if (warn_try(write_record, record, &ignored))
		return;
	record->destination = NULL;
	if (warn_try(write_record, record, &ignored))
		return;
	record->destination = destination;
	record->event = (Datum) 0;
	if (warn_try(write_record, record, &ignored))
		return;
	record->destination = NULL;
	(void) warn_try(write_record, record, &ignored);
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

/* A destination that is not there may have another name now, which triggers do not know. */
static void
report_naming(const Refusal *refusal, int elevel, const char *where, const char *destination)
{
	Refusal		with_names = *refusal;
	const char *names = NULL;

	if (refusal->sqlerrcode == ERRCODE_UNDEFINED_OBJECT && destination != NULL)
		names = trigger_names_of(destination);
	if (names != NULL)
		with_names.hint = refusal->hint == NULL ? names : psprintf("%s %s", refusal->hint, names);
	refusal_report(&with_names, elevel, where);
}

void
warn_refused(bool raises, const Trigger *trigger, const char *destination, Datum event,
			 const char *ordering_key, TimestampTz now, const Refusal *refusal, const Refusal *told)
{
	char	   *where = psprintf("trigger \"%s\"", trigger->tgname);
	const char *reason = refusal->detail == NULL ? refusal->message :
		psprintf("%s: %s", refusal->message, refusal->detail);
	Record		record = {destination, event, ordering_key, now, psprintf("%s: %s", where, reason)};

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
