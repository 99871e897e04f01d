/*-------------------------------------------------------------------------
 *
 * reserve.c
 *		Memory for what must not fail, put by for the time when there is none.
 *
 * It comes from malloc() as long as that has any.  Where it has not, the system has
 * refused to map more, so the reserve is mapped early; it costs nothing but that
 * as long as nobody writes to it.
 *
 * Within the reserve, blocks follow each other without a gap, and the first one that
 * fits is taken.  That is slow if there are many, which is the case only when nothing
 * else would go on at all.
 *
 * Not thread safe.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#if defined(__APPLE__)
#include <malloc/malloc.h>
#define malloc_usable_size	malloc_size
#elif defined(__FreeBSD__)
#include <malloc_np.h>
#else
#include <malloc.h>
#endif

#include "http/reserve.h"

#if !defined(MAP_ANONYMOUS)
#define MAP_ANONYMOUS	MAP_ANON
#endif

/*
 * A request that is on its way takes less than 10 kB more as a rule; 85 kB while its
 * answer has a header of 60 kB, which is as long as they come.
 */
#define RESERVE_BYTES	((size_t) 8 * 1024 * 1024)

#define ALIGNMENT		16

/* What is small is found in the heap, the rest is asked of the system. */
#define MAX_FROM_HEAP	((size_t) 64 * 1024)

/* Before the memory of each block. */
typedef union Block
{
	struct
	{
		size_t		size;		/* of its memory */
		bool		used;
	};
	char		aligned[ALIGNMENT];
} Block;

static char *reserve = NULL;
static char *first_free;		/* no block before it is free */
static size_t used = 0;			/* blocks and all */
static bool failed = false;

bool
reserve_open(void)
{
	void	   *memory;

	if (reserve != NULL)
		return true;
	memory = mmap(NULL, RESERVE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		return false;
	reserve = first_free = memory;
	((Block *) memory)->size = RESERVE_BYTES - sizeof(Block);
	return true;
}

static bool
is_of_reserve(const void *memory)
{
	return (uintptr_t) memory - (uintptr_t) reserve < RESERVE_BYTES && reserve != NULL;
}

static Block *
block_of(void *memory)
{
	return (Block *) memory - 1;
}

/* The next one, in the order of addresses; NULL: it is the last. */
static Block *
next_block(Block *block)
{
	char	   *end = (char *) (block + 1) + block->size;

	return end < reserve + RESERVE_BYTES ? (Block *) end : NULL;
}

/* What follows and is free as well becomes a part of it. */
static void
merge(Block *block)
{
	Block	   *next = next_block(block);

	while (next != NULL && !next->used)
	{
		block->size += sizeof(Block) + next->size;
		next = next_block(block);
	}
}

/* What is not needed of it becomes a block of its own. */
static void
split(Block *block, size_t size)
{
	Block	   *rest = (Block *) ((char *) (block + 1) + size);

	if (block->size - size < sizeof(Block) + ALIGNMENT)
		return;
	rest->size = block->size - size - sizeof(Block);
	rest->used = false;
	block->size = size;
}

static void *
take(size_t size)
{
	Block	   *block = (Block *) first_free;
	Block	   *lowest = NULL;

	if (reserve == NULL || size > RESERVE_BYTES)
	{
		failed = true;
		return NULL;
	}
	size = size == 0 ? ALIGNMENT : (size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
	for (; block != NULL; block = next_block(block))
	{
		if (block->used)
			continue;
		merge(block);
		if (block->size >= size)
			break;
		if (lowest == NULL)
			lowest = block;
	}
	if (block == NULL)
	{
		failed = true;
		return NULL;
	}
	split(block, size);
	block->used = true;
	used += sizeof(Block) + block->size;
	first_free = (char *) (lowest != NULL ? lowest : block);
	return block + 1;
}

static void
give_back(Block *block)
{
	used -= sizeof(Block) + block->size;
	block->used = false;
	if ((char *) block < first_free)
		first_free = (char *) block;
}

/* ---------------------------------------------------------------------
 * As malloc()'s
 * ---------------------------------------------------------------------
 */

void *
reserve_malloc(size_t size)
{
	void	   *memory = malloc(size);

	if (memory == NULL)
		memory = take(size);
	return memory;
}

void *
reserve_calloc(size_t count, size_t size)
{
	void	   *memory = calloc(count, size);

	if (memory != NULL)
		return memory;
	if (size != 0 && count > SIZE_MAX / size)
		return NULL;
	memory = take(count * size);
	return memory != NULL ? memset(memory, 0, count * size) : NULL;
}

void *
reserve_realloc(void *memory, size_t size)
{
	bool		ours = is_of_reserve(memory);
	size_t		was;
	void	   *other;

	if (memory == NULL)
		return reserve_malloc(size);
	if (size == 0)
		size = 1;
	if (!ours && (other = realloc(memory, size)) != NULL)
		return other;
	was = ours ? block_of(memory)->size : malloc_usable_size(memory);
	if (size <= was)
		return memory;
	other = ours ? reserve_malloc(size) : take(size);
	if (other == NULL)
		return NULL;
	memcpy(other, memory, was);
	reserve_free(memory);
	return other;
}

static char *
copy_of(const char *string, size_t len)
{
	char	   *copy = reserve_malloc(len + 1);

	if (copy == NULL)
		return NULL;
	memcpy(copy, string, len);
	copy[len] = '\0';
	return copy;
}

char *
reserve_strndup(const char *string, size_t most)
{
	return copy_of(string, strnlen(string, most));
}

char *
reserve_strdup(const char *string)
{
	return copy_of(string, strlen(string));
}

void
reserve_free(void *memory)
{
	if (memory == NULL)
		return;					/* most of what libcurl gives back is that */
	if (is_of_reserve(memory))
		give_back(block_of(memory));
	else
		free(memory);
}

/* ---------------------------------------------------------------------
 * How much there is
 * ---------------------------------------------------------------------
 */

bool
reserve_is_used(void)
{
	return used > 0;
}

bool
reserve_is_low(void)
{
	return used > RESERVE_BYTES / 2;
}

bool
reserve_has_failed(void)
{
	return failed;
}

bool
reserve_is_spared(size_t size)
{
	void	   *volatile memory;

	if (size <= MAX_FROM_HEAP)
	{
		memory = malloc(size);
		free(memory);
		return memory != NULL;
	}
	memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		return false;
	(void) munmap(memory, size);
	return true;
}
