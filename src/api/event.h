/*-------------------------------------------------------------------------
 *
 * event.h
 *		The event that a changed row becomes.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_EVENT_H
#define RSWEBHOOK_EVENT_H

#include "datatype/timestamp.h"

#include "api/rowjson.h"

typedef enum TriggerOperation
{
	OPERATION_INSERT,
	OPERATION_UPDATE,
	OPERATION_DELETE
} TriggerOperation;

/* As RudderStack has events, or as two others send such changes. */
typedef enum EventShape
{
	SHAPE_RUDDERSTACK,
	SHAPE_SUPABASE,
	SHAPE_HASURA
} EventShape;

/* What all events of a trigger have in common. */
typedef struct EventForm
{
	EventShape	shape;
	const char *trigger;
	const char *type;
	const char *name;			/* NULL: by table and operation */
	const char *schema;
	const char *table;
	const char *partition;		/* NULL: it has none */
	bool		with_previous;
} EventForm;

/* A row before and after; of INSERT and DELETE only one of them counts. */
typedef struct ChangedRow
{
	TriggerOperation operation;
	bool		unpaired;		/* of an UPDATE, the old row is not known */
	Datum	   *old_values;
	bool	   *old_nulls;
	Datum	   *new_values;
	bool	   *new_nulls;
} ChangedRow;

/* Who or what it is about; NULL: nobody. */
typedef struct EventIds
{
	const char *user;
	const char *anonymous;
	const char *group;
	const char *previous;
} EventIds;

extern EventShape event_shape(const char *word);

extern bool event_is_of_type(const EventForm *form, const char *type);

/* Is the user in the event itself? */
extern bool event_has_user(const EventForm *form);

/* Of an UPDATE, is the old row in it? */
extern bool event_has_old(const EventForm *form);

/* A random UUID. */
extern char *event_new_id(void);

/* In the current memory context. */
extern Datum event_of_row(const EventForm *form, const RowJson *rows, const ChangedRow *row,
						  const EventIds *ids, TimestampTz now);

/* An event of an outbox' columns; NULL: it has none of these. */
extern Datum event_of_parts(const char *type, const char *name, const char *message_id, const char *user,
							Jsonb *payload, TimestampTz now);

#endif							/* RSWEBHOOK_EVENT_H */
