/*-------------------------------------------------------------------------
 *
 * message.h
 *		Which messages a destination has been sent of late: rswebhook.message.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_MESSAGE_H
#define RSWEBHOOK_MESSAGE_H

#include "datatype/timestamp.h"
#include "utils/uuid.h"

/* Of a messageId, in whatever encoding. */
extern pg_uuid_t message_hash(const char *id, int len);

/*
 * Is it the first one of this message within so long?  Then it is noted, and known for as
 * long as kept_us says, until the transaction is rolled back; else *first is the event that
 * was.  Waits for a transaction that has noted the same.
 */
extern bool message_is_first(int32 destination_id, const pg_uuid_t *hash, int64 event_id,
							 int64 window_us, int64 kept_us, int64 *first);

/* Is nothing of somebody else's part of that, which could fail? */
extern bool message_is_plain(void);

/* Forgets some that were noted for long enough before that; true: there may be more. */
extern bool message_forget(TimestampTz before);

#endif							/* RSWEBHOOK_MESSAGE_H */
