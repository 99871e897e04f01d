/*-------------------------------------------------------------------------
 *
 * dynamic.h
 *		Dynamic config: "{{ path || default }}" in place of a string of a Config.
 *
 * As RudderStack has it: the value at the path is taken out of the event.  Pure.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_DYNAMIC_H
#define RSWEBHOOK_DYNAMIC_H

#include "utils/jsonb.h"

/* What a template says; both are parts of it, the default before its quotes are removed. */
typedef struct Template
{
	const char *path;
	int			path_len;
	const char *fallback;
	int			fallback_len;
} Template;

/* Is it one?  What is none stays as it is. */
extern bool dynamic_template(const char *string, int len, Template *found);

/* The default as it is used, in the current memory context. */
extern char *dynamic_fallback(const Template *found);

/* Is a value what stands there by default, and so the destination's own? */
extern bool dynamic_is_default(const JsonbValue *value, const Template *found);

/* The same template with another default. */
extern char *dynamic_with_fallback(const Template *found, const char *fallback);

extern bool dynamic_has_templates(Jsonb *config);

/*
 * The Config, an object, that becomes of one.  Its strings are looked at in this order: what is
 * below the keys that are named first, up to a NULL, then all others in jsonb's order of keys,
 * shorter ones before.  *event becomes what is left of it.  NULL, or why that cannot be.
 */
extern const char *dynamic_resolve(Jsonb *config, const char *const *first, Jsonb **event, Jsonb **resolved);

#endif							/* RSWEBHOOK_DYNAMIC_H */
