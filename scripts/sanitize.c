/*-------------------------------------------------------------------------
 *
 * sanitize.c
 *		Memory contexts each of whose pieces is malloc'ed by itself, and a
 *		mistake by which to see that a sanitizer sees them.
 *
 * See sanitize.h.  A piece begins with a header whose last field is the context,
 * which is where PostgreSQL looks for it.  Nobody else has any business in the
 * header, so it is poisoned; PostgreSQL itself is not built with the sanitizer
 * and can read it, and the functions here are told not to look.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"

#if PG_VERSION_NUM < 160000

#include <sanitizer/asan_interface.h>

#include "base/compat.h"

#define UNWATCHED	__attribute__((no_sanitize_address, noinline))

typedef struct Piece
{
	struct Piece *previous;
	struct Piece *next;
	Size		size;
	MemoryContext context;
} Piece;

typedef struct MallocedContext
{
	MemoryContextData header;
	Piece	   *pieces;
} MallocedContext;

static const char child_name[] = "rswebhook pieces";

static Piece *
piece_of(void *pointer)
{
	return (Piece *) pointer - 1;
}

static UNWATCHED void *
add(MemoryContext context, Size size)
{
	MallocedContext *owner = (MallocedContext *) context;
	Piece	   *piece;

	if (size > MaxAllocHugeSize || (piece = malloc(sizeof(Piece) + size)) == NULL)
		return NULL;
	piece->previous = NULL;
	piece->next = owner->pieces;
	piece->size = size;
	piece->context = context;
	if (piece->next != NULL)
		piece->next->previous = piece;
	owner->pieces = piece;
	context->mem_allocated += sizeof(Piece) + size;
	ASAN_POISON_MEMORY_REGION(piece, sizeof(Piece));
	return piece + 1;
}

static UNWATCHED void
drop(MemoryContext context, void *pointer)
{
	MallocedContext *owner = (MallocedContext *) context;
	Piece	   *piece = piece_of(pointer);

	if (piece->previous != NULL)
		piece->previous->next = piece->next;
	else
		owner->pieces = piece->next;
	if (piece->next != NULL)
		piece->next->previous = piece->previous;
	context->mem_allocated -= sizeof(Piece) + piece->size;
	ASAN_UNPOISON_MEMORY_REGION(piece, sizeof(Piece));
	free(piece);
}

static UNWATCHED Size
size_of(void *pointer)
{
	return piece_of(pointer)->size;
}

/* Always moves, so that a pointer to where it was is one too many. */
static void *
resize(MemoryContext context, void *pointer, Size size)
{
	void	   *moved = add(context, size);

	if (moved == NULL)
		return NULL;
	memcpy(moved, pointer, Min(size, size_of(pointer)));
	drop(context, pointer);
	return moved;
}

static void
reset(MemoryContext context)
{
	MallocedContext *owner = (MallocedContext *) context;

	while (owner->pieces != NULL)
		drop(context, owner->pieces + 1);
}

static void
delete_context(MemoryContext context)
{
	reset(context);
	free(context);
}

static Size
chunk_space(MemoryContext context, void *pointer)
{
	return sizeof(Piece) + size_of(pointer);
}

static bool
is_empty(MemoryContext context)
{
	return ((MallocedContext *) context)->pieces == NULL;
}

static void
stats(MemoryContext context, MemoryStatsPrintFunc print, void *passthru,
	  MemoryContextCounters *totals, bool print_to_stderr)
{
	char		text[64];

	snprintf(text, sizeof(text), "%zu total, each piece malloc'ed", context->mem_allocated);
	if (print != NULL)
		print(context, passthru, text, print_to_stderr);
	if (totals != NULL)
		totals->totalspace += context->mem_allocated;
}

#ifdef MEMORY_CONTEXT_CHECKING
static void
check(MemoryContext context)
{
}
#endif

static const MemoryContextMethods methods = {
	.alloc = add,
	.free_p = drop,
	.realloc = resize,
	.reset = reset,
	.delete_context = delete_context,
	.get_chunk_space = chunk_space,
	.is_empty = is_empty,
	.stats = stats,
#ifdef MEMORY_CONTEXT_CHECKING
	.check = check,
#endif
};

MemoryContext
malloced_context(MemoryContext parent, const char *name)
{
	MallocedContext *context = malloc(sizeof(MallocedContext));

	if (context == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory"),
				 errdetail("Failed while creating memory context \"%s\".", name)));
	context->pieces = NULL;
	MemoryContextCreate((MemoryContext) context, T_AllocSetContext, &methods, parent, name);
	return (MemoryContext) context;
}

MemoryContext
malloced_child(MemoryContext parent)
{
	MemoryContext child;

	if (parent->methods == &methods)
		return parent;
	for (child = parent->firstchild; child != NULL; child = child->nextchild)
	{
		if (child->name == child_name)
			return child;
	}
	return malloced_context(parent, child_name);
}

Datum
malloced_call(PGFunction function, FunctionCallInfo fcinfo)
{
	MemoryContext caller = CurrentMemoryContext;
	Datum		result;

	MemoryContextSwitchTo(malloced_context(caller, child_name));
	result = function(fcinfo);
	MemoryContextSwitchTo(caller);
	return result;
}

int
malloced_connected(int result)
{
	MemoryContextSwitchTo(malloced_context(CurrentMemoryContext, child_name));
	return result;
}

#endif							/* PG_VERSION_NUM */

SQL_FUNCTION(rswebhook_mistake);

/* Writes one byte at so many from the start of 13. */

Datum
rswebhook_mistake(PG_FUNCTION_ARGS)
{
	char	   *piece = palloc(13);

	piece[PG_GETARG_INT32(0)] = 'x';
	PG_RETURN_INT32(piece[0]);
}
