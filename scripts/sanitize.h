/*-------------------------------------------------------------------------
 *
 * sanitize.h
 *		palloc as malloc, for a build with AddressSanitizer.
 *
 * A memory context fetches large blocks and hands out pieces of them, so a
 * sanitizer that watches malloc sees neither the end of a piece nor that it was
 * freed.  In a build with scripts/sanitize.sh each piece is malloc'ed by itself
 * (sanitize.c) where our code runs: in the contexts that it makes, in functions
 * that SQL calls, and while it is connected to SPI.  What PostgreSQL allocates
 * for us there, such as the buffer of a StringInfo, is included.
 *
 * PostgreSQL 16 and later find a piece's kind of context by bits of its header
 * and know only their own kinds, so there contexts stay as they are.
 *
 * Comes with postgres.h, so it reaches all files but those of the HTTP room,
 * which use malloc anyway.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_SANITIZE_H
#define RSWEBHOOK_SANITIZE_H

#if PG_VERSION_NUM < 160000

#include "executor/spi.h"
#include "fmgr.h"
#include "utils/memutils.h"

extern MemoryContext malloced_context(MemoryContext parent, const char *name);

/* One for good as a child of this one, which may be PostgreSQL's own. */
extern MemoryContext malloced_child(MemoryContext parent);

/* As function(fcinfo), in a context that lives as long as the caller's. */
extern Datum malloced_call(PGFunction function, FunctionCallInfo fcinfo);

/* After SPI_connect(), which has come to this. */
extern int	malloced_connected(int result);

#undef AllocSetContextCreate
#define AllocSetContextCreate(parent, name, ...)	malloced_context((parent), (name))
#define MemoryContextAlloc(context, size)	MemoryContextAlloc(malloced_child(context), (size))
#define SPI_connect()	malloced_connected(SPI_connect())

/* The function gets another name in the library, and what has its name calls it. */
#define SQL_FUNCTION(funcname) \
extern Datum funcname(PG_FUNCTION_ARGS) __asm__("unsanitized_" #funcname); \
extern PGDLLEXPORT Datum CppConcat(malloced_,funcname)(PG_FUNCTION_ARGS) __asm__(#funcname); \
Datum \
CppConcat(malloced_,funcname)(PG_FUNCTION_ARGS) \
{ \
	return malloced_call(funcname, fcinfo); \
} \
extern PGDLLEXPORT const Pg_finfo_record * CppConcat(pg_finfo_,funcname)(void); \
const Pg_finfo_record * \
CppConcat(pg_finfo_,funcname) (void) \
{ \
	static const Pg_finfo_record my_finfo = { 1 }; \
	return &my_finfo; \
} \
extern int no_such_variable

#endif							/* PG_VERSION_NUM */

#endif							/* RSWEBHOOK_SANITIZE_H */
