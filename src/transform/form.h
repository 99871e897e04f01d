/*-------------------------------------------------------------------------
 *
 * form.h
 *		A body as a form: the members of an object, with a text for each.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_FORM_H
#define RSWEBHOOK_FORM_H

#include "lib/stringinfo.h"

#include "transform/values.h"

/* Strings as they are, all else as JSON text, as RudderStack has it; in jsonb's order. */
extern void form_fields(const JsonbValue *object, Size limit, NamedValues *fields);

/*
 * Append them as they are sent, sorted by their names.  NULL, or why they cannot be; an
 * error if that gets longer than limit.
 */
extern const char *form_append(StringInfo out, const NamedValues *fields, Size limit);

#endif							/* RSWEBHOOK_FORM_H */
