/*-------------------------------------------------------------------------
 *
 * flatten.h
 *		RudderStack's flattening of nested values into params, and the list
 *		of names and values that it fills.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_FLATTEN_H
#define RSWEBHOOK_FLATTEN_H

#include "transform/values.h"

/* RudderStack's flattening; out is settled afterwards. */
extern void flatten_value(const JsonbValue *value, NamedValues *out);

/* A list starts as zeroes.  Names and values are not copied. */
extern void named_values_add(NamedValues *list, const char *name, int name_len,
							 const JsonbValue *value);

/* Bring the names into jsonb's order; the last value of each name stays. */
extern void named_values_settle(NamedValues *list);

#endif							/* RSWEBHOOK_FLATTEN_H */
