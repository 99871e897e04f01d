/*-------------------------------------------------------------------------
 *
 * pathquery.h
 *		A jsonpath of a destination, and what it may take of the processor.
 *
 * A few words can have PostgreSQL's jsonpath use all memory and time there is, in the
 * session of whoever sends or in a worker, so all paths of a destination together have
 * PATHQUERY_MS of the processor for an event.  While one is asked, the time is looked at
 * only between two steps.  A comparison is one step, however many values there are to be
 * compared, and so is a multiplication, however long the numbers.  So what a path does is
 * looked at beforehand (pathwork.h).
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_PATHQUERY_H
#define RSWEBHOOK_PATHQUERY_H

#include "utils/jsonb.h"
#include "utils/jsonpath.h"

#include "transform/pathwork.h"

#define PATHQUERY_MS	100

/* More are refused: each one's result may be as long as both of its numbers. */
#define PATHQUERY_MAX_PRODUCTS	16

extern char *pathquery_text(JsonPath *path);

/* NULL, or why it cannot be asked of this value, of an event. */
extern char *pathquery_why_not(JsonPath *path, const PathFindings *findings, Jsonb *value);

/*
 * Run a step that asks paths, and raise an error if it takes longer than so much of the
 * processor's time, PATHQUERY_MS at most.  Not within another one.
 */
extern void pathquery_run(void (*step) (void *arg), void *arg, int ms);

/* The processor's time that the last one took, in microseconds; also if it failed. */
extern int64 pathquery_took_us(void);

/* NULL, or what is wrong with a text that is no jsonpath. */
extern char *pathquery_parse(const char *text, JsonPath **path);

/*
 * Hand what a path finds in a value, one after the other, to take(); in the current
 * memory context.  Raises errors, or, if it is silent, finds no more.
 */
extern void pathquery_ask(JsonPath *path, Jsonb *value, bool silent,
						  void (*take) (Jsonb *found, void *arg), void *arg);

/*
 * A step that needs nothing but memory, and may fail without its transaction, if there is
 * one.  NULL, or the error's message if it was about the data, or about what it takes; all
 * other errors go on.
 */
extern char *pathquery_try(void (*step) (void *arg), void *arg);

/*
 * An error's message without what it quotes of the event: who may read it may not read
 * that.
 */
extern char *pathquery_without_values(char *message, const char *path);

#endif							/* RSWEBHOOK_PATHQUERY_H */
