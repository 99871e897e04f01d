/*-------------------------------------------------------------------------
 *
 * parked.c
 *		Rows that wait for their retry in the table, of which little is in memory.
 *
 * A user whose row is parked is blocked: its later rows are passed over.  So a
 * row is found by its event, by its user, and, of a lane, by when it is due.
 *
 * There may be millions of them, so the hash chains run through the rows: two
 * tables of dynahash would double what a row takes, and simplehash moves all
 * entries at once when it grows, and raises an error where there is no memory.
 *
 * Nothing here raises an error: for want of memory, a row is not parked.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "utils/memutils.h"

#include "schedule/lane.h"

/*
 * Of all lanes together.  A lane parks no more than are left for others, so half
 * of them if it is alone.
 */
#define MAX_PARKED		3000000

#define CHUNK_ROWS		1000	/* that are allocated together */
#define LEAST_BUCKETS	1024
#define ROWS_A_BUCKET	2

#define NO_THROW		(MCXT_ALLOC_HUGE | MCXT_ALLOC_NO_OOM)

typedef struct Chunk
{
	struct Chunk *next;
	Parked		rows[CHUNK_ROWS];
} Chunk;

static MemoryContext parked_context;
static Chunk *chunks;
static Parked *unused;			/* by next[PARKED_BY_EVENT] */
static Parked **buckets[PARKED_CHAINS];
static uint32 nbuckets;			/* of each, in use */
static uint32 max_buckets;		/* allocated: a power of 2, no more than twice as many */
static int	nparked;

/* Earliest first: the pairing heap hands out the largest. */
static int
later_parked(const pairingheap_node *a, const pairingheap_node *b, void *arg)
{
	Instant		ta = pairingheap_const_container(Parked, in_lane, a)->ready_at;
	Instant		tb = pairingheap_const_container(Parked, in_lane, b)->ready_at;

	return ta < tb ? 1 : ta > tb ? -1 : 0;
}

void
parked_init(MemoryContext context)
{
	parked_context = context;
	chunks = NULL;
	unused = NULL;
	nbuckets = max_buckets = 0;
	nparked = 0;
}

void
parked_init_lane(Lane *lane)
{
	lane->parked.ph_compare = later_parked;
}

static uint32
hash_of(int64 id, int32 destination_id)
{
	return murmurhash32((uint32) id ^ murmurhash32((uint32) (id >> 32) ^
												   murmurhash32((uint32) destination_id)));
}

static uint32
bucket_of(uint32 hash)
{
	uint32		bucket = hash & (max_buckets - 1);

	return bucket < nbuckets ? bucket : bucket & (max_buckets / 2 - 1);
}

static Parked **
chain_of(ParkedChain chain, int64 id, int32 destination_id)
{
	return &buckets[chain][bucket_of(hash_of(id, destination_id))];
}

static int64
id_in(ParkedChain chain, const Parked *parked)
{
	return chain == PARKED_BY_EVENT ? parked->event_id : parked->ordering_key;
}

static void
link_in(ParkedChain chain, Parked *parked)
{
	Parked	  **head = chain_of(chain, id_in(chain, parked), parked->destination_id);

	parked->next[chain] = *head;
	*head = parked;
}

static void
unlink_from(ParkedChain chain, Parked *parked)
{
	Parked	  **at = chain_of(chain, id_in(chain, parked), parked->destination_id);

	while (*at != parked)
		at = &(*at)->next[chain];
	*at = parked->next[chain];
}

static Parked *
find(ParkedChain chain, const Lane *lane, int64 id)
{
	Parked	   *parked;

	if (lane->nparked == 0)
		return NULL;			/* nearly always */
	parked = *chain_of(chain, id, lane->destination_id);
	while (parked != NULL &&
		   (id_in(chain, parked) != id || parked->destination_id != lane->destination_id))
		parked = parked->next[chain];
	return parked;
}

/* ---------------------------------------------------------------------
 * Room for one more
 * ---------------------------------------------------------------------
 */

static bool
add_chunk(void)
{
	Chunk	   *chunk = MemoryContextAllocExtended(parked_context, sizeof(Chunk), NO_THROW);

	if (chunk == NULL)
		return false;
	chunk->next = chunks;
	chunks = chunk;
	for (int i = 0; i < CHUNK_ROWS; i++)
	{
		chunk->rows[i].destination_id = 0;
		chunk->rows[i].next[PARKED_BY_EVENT] = unused;
		unused = &chunk->rows[i];
	}
	return true;
}

/* Twice as many places for buckets; false: there is no memory for these. */
static bool
double_buckets(void)
{
	uint32		most = max_buckets == 0 ? LEAST_BUCKETS : max_buckets * 2;
	Parked	  **larger[PARKED_CHAINS];

	for (int i = 0; i < PARKED_CHAINS; i++)
	{
		larger[i] = MemoryContextAllocExtended(parked_context, most * sizeof(Parked *),
											   NO_THROW | MCXT_ALLOC_ZERO);
		if (larger[i] == NULL)
		{
			while (i-- > 0)
				pfree(larger[i]);
			return false;
		}
	}
	for (int i = 0; i < PARKED_CHAINS && max_buckets > 0; i++)
	{
		memcpy(larger[i], buckets[i], nbuckets * sizeof(Parked *));
		pfree(buckets[i]);
	}
	memcpy(buckets, larger, sizeof(buckets));
	if (max_buckets == 0)
		nbuckets = LEAST_BUCKETS;
	max_buckets = most;
	return true;
}

/* One bucket more takes from another one what belongs into it now. */
static void
add_bucket(void)
{
	uint32		from;

	if (nbuckets == max_buckets && !double_buckets())
		return;
	from = nbuckets & (max_buckets / 2 - 1);
	nbuckets++;
	for (ParkedChain chain = 0; chain < PARKED_CHAINS; chain++)
	{
		Parked	   *parked = buckets[chain][from];

		buckets[chain][from] = NULL;
		while (parked != NULL)
		{
			Parked	   *next = parked->next[chain];

			link_in(chain, parked);
			parked = next;
		}
	}
}

/* ---------------------------------------------------------------------
 * The doors
 * ---------------------------------------------------------------------
 */

Parked *
parked_add(Lane *lane, int64 event_id, Instant ready_at)
{
	Parked	   *parked;

	if (lane->nparked >= MAX_PARKED - nparked ||
		(unused == NULL && !add_chunk()) ||
		(max_buckets == 0 && !double_buckets()))
		return NULL;
	if (nparked >= (int) nbuckets * ROWS_A_BUCKET)
		add_bucket();

	parked = unused;
	unused = parked->next[PARKED_BY_EVENT];
	memset(parked, 0, sizeof(*parked));
	parked->destination_id = lane->destination_id;
	parked->event_id = event_id;
	parked->ready_at = ready_at;
	link_in(PARKED_BY_EVENT, parked);
	pairingheap_add(&lane->parked, &parked->in_lane);
	parked->seen = lane->sweep_number;
	lane->nparked_seen++;
	lane->nparked++;
	nparked++;
	return parked;
}

void
parked_block(Parked *parked, int64 ordering_key, int64 later_from)
{
	parked->has_key = true;
	parked->ordering_key = ordering_key;
	parked->later_from = later_from;
	link_in(PARKED_BY_USER, parked);
}

static void
forget(Lane *lane, Parked *parked)
{
	unlink_from(PARKED_BY_EVENT, parked);
	if (parked->has_key)
		unlink_from(PARKED_BY_USER, parked);
	parked->destination_id = 0;
	parked->next[PARKED_BY_EVENT] = unused;
	unused = parked;
	lane->nparked_seen -= parked->seen == lane->sweep_number;
	lane->nparked--;
	nparked--;
}

void
parked_remove(Lane *lane, Parked *parked)
{
	pairingheap_remove(&lane->parked, &parked->in_lane);
	forget(lane, parked);
}

void
parked_forget_lane(Lane *lane)
{
	for (Chunk *chunk = chunks; chunk != NULL && lane->nparked > 0; chunk = chunk->next)
	{
		for (int i = 0; i < CHUNK_ROWS; i++)
		{
			if (chunk->rows[i].destination_id == lane->destination_id)
				forget(lane, &chunk->rows[i]);
		}
	}
	pairingheap_reset(&lane->parked);
}

void
parked_note_seen(Lane *lane, Parked *parked)
{
	lane->nparked_seen += parked->seen != lane->sweep_number;
	parked->seen = lane->sweep_number;
}

/* Nearly always all have been seen, and none is looked at. */
void
parked_each_unseen(Lane *lane, int64 upto, void (*f) (Lane *lane, Parked *parked))
{
	for (Chunk *chunk = chunks; chunk != NULL && lane->nparked_seen < lane->nparked; chunk = chunk->next)
	{
		for (int i = 0; i < CHUNK_ROWS; i++)
		{
			Parked	   *parked = &chunk->rows[i];

			if (parked->destination_id == lane->destination_id && parked->seen != lane->sweep_number &&
				parked->event_id <= upto)
				f(lane, parked);
		}
	}
}

void
parked_hasten(Lane *lane, Parked *parked, Instant ready_at)
{
	if (ready_at >= parked->ready_at)
		return;
	pairingheap_remove(&lane->parked, &parked->in_lane);
	parked->ready_at = ready_at;
	pairingheap_add(&lane->parked, &parked->in_lane);
}

/* The one after it of all in a heap, the root first; NULL: there is none. */
static pairingheap_node *
next_of_heap(pairingheap_node *node)
{
	if (node->first_child != NULL)
		return node->first_child;
	while (node != NULL && node->next_sibling == NULL)
	{
		/* back along its siblings, up to where they hang */
		while (node->prev_or_parent != NULL && node->prev_or_parent->first_child != node)
			node = node->prev_or_parent;
		node = node->prev_or_parent;
	}
	return node == NULL ? NULL : node->next_sibling;
}

/* A bound on all times leaves the order of the heap as it is. */
void
parked_hasten_all(Lane *lane, Instant ready_at)
{
	for (pairingheap_node *node = lane->parked.ph_root; node != NULL; node = next_of_heap(node))
	{
		Parked	   *parked = pairingheap_container(Parked, in_lane, node);

		parked->hastened |= parked->ready_at > ready_at;
		parked->ready_at = Min(parked->ready_at, ready_at);
	}
}

Parked *
parked_event(const Lane *lane, int64 event_id)
{
	return find(PARKED_BY_EVENT, lane, event_id);
}

Parked *
parked_user(const Lane *lane, int64 ordering_key)
{
	return find(PARKED_BY_USER, lane, ordering_key);
}

static Parked *
first_of(const Lane *lane)
{
	return pairingheap_container(Parked, in_lane, pairingheap_first((pairingheap *) &lane->parked));
}

Instant
parked_next(const Lane *lane)
{
	return pairingheap_is_empty(&lane->parked) ? 0 : first_of(lane)->ready_at;
}

bool
parked_are_due(const Lane *lane, Instant now)
{
	return !pairingheap_is_empty(&lane->parked) && first_of(lane)->ready_at <= now;
}

int
parked_due(Lane *lane, Instant now, int64 *ids, int most)
{
	Parked	   *due[READ_IDS];
	int			count = 0;

	while (count < Min(most, READ_IDS) && parked_are_due(lane, now))
	{
		due[count] = first_of(lane);
		ids[count] = due[count]->event_id;
		pairingheap_remove_first(&lane->parked);
		count++;
	}
	for (int i = 0; i < count; i++)
		pairingheap_add(&lane->parked, &due[i]->in_lane);
	return count;
}
