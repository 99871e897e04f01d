/*-------------------------------------------------------------------------
 *
 * refuse.h
 *	  What allocates memory, in a library that a test has preloaded into a server:
 *	  is_refused(), which is that library's own, says whether there is none.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include <stddef.h>

extern void *__libc_malloc(size_t size);
extern void *__libc_realloc(void *memory, size_t size);
extern void *__libc_calloc(size_t count, size_t size);

static int	is_refused(size_t size, void *caller);

void *
malloc(size_t size)
{
	return is_refused(size, __builtin_return_address(0)) ? NULL : __libc_malloc(size);
}

void *
realloc(void *memory, size_t size)
{
	return is_refused(size, __builtin_return_address(0)) ? NULL : __libc_realloc(memory, size);
}

void *
calloc(size_t count, size_t size)
{
	return is_refused(count * size, __builtin_return_address(0)) ? NULL : __libc_calloc(count, size);
}
