/*-------------------------------------------------------------------------
 *
 * pathload.h
 *		How much an operand of a jsonpath may find in a value.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_PATHLOAD_H
#define RSWEBHOOK_PATHLOAD_H

#include "utils/jsonb.h"
#include "utils/jsonpath.h"

/* No fewer than it finds. */
typedef struct Load
{
	double		values;			/* of any kind */
	double		strings;
	double		string_bytes;
	double		numbers;
	double		number_bytes;
	double		keys;
	double		key_bytes;
	double		text_bytes;		/* of the numbers, if they are written out */
	int			depth;
} Load;

/* All in it, itself included; text_bytes only if texts. */
extern Load pathload_of(JsonbContainer *container, bool texts);

/* That, without a look at it. */
extern Load pathload_by_size(const Jsonb *value);

/* Any one scalar in it, or what an operator or a method makes of one. */
extern Load pathload_of_longest(JsonbContainer *container, bool texts);

/*
 * What the names and numbers that follow *item find in the container, as far as each finds
 * one value; *item is moved past them.  If they are all that follows, it is what is compared:
 * the elements of an array, and no more of an object than that it is one.
 */
extern Load pathload_below(JsonbContainer *container, JsonPathItem *item, bool lax, bool texts);

/* Of a literal, or of the number that an operator makes. */
extern Load pathload_of_one(const JsonPathItem *item);

/* By one more step of a path. */
extern void pathload_take_step(Load *load, const JsonPathItem *step);

extern void pathload_multiply(Load *load, double factor);

#endif							/* RSWEBHOOK_PATHLOAD_H */
