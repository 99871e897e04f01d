/*-------------------------------------------------------------------------
 *
 * xmltext.h
 *		JSON as XML, as RudderStack's HTTP destination writes it.
 *
 * An object's members are elements, an array's elements are elements of its name each, an
 * array within an array has elements _0, _1, ...  What a name of XML may not have becomes
 * "_", and of two names that become one the later stays.  Characters that XML has no way to
 * write become U+FFFD.  Pure.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_XMLTEXT_H
#define RSWEBHOOK_XMLTEXT_H

#include "lib/stringinfo.h"
#include "utils/jsonb.h"

#define XMLTEXT_ROOT	"root"

/* NULL, or why it cannot be the name of the root element, as a clause. */
extern const char *xmltext_name_problem(const char *name, int len);

/* The document, in the server encoding; an error if it gets longer than limit. */
extern void xmltext_append(StringInfo out, const JsonbValue *object, const char *root, Size limit);

/* A text as it is in one, likewise. */
extern void xmltext_escape(StringInfo out, const char *text, int len, Size limit);

#endif							/* RSWEBHOOK_XMLTEXT_H */
