/*-------------------------------------------------------------------------
 *
 * http_files.c
 *		The HTTP room, the files that say how names are found: whether they say
 *		something new, and what /etc/hosts says.
 *
 * c-ares would read the hosts file for each look-up, some versions line by line,
 * and some give a name the addresses of others that it shares a line with.  Here
 * it is read when it has changed, and a name has the addresses of its own lines.
 *
 * See transfer.h for the rules of the room.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "http/ascii.h"
#include "http/http_files.h"
#include "http/poller.h"
#include "http/transfer.h"

/* What is beyond is not read. */
#define MOST_BYTES			(16 << 20)

/* One that has become empty, or is gone, may be about to be written. */
#define DOUBT_US			(1000 * 1000)

/*
 * Of all the time, reading the hosts file takes one part in so many at most, unless
 * it takes longer than this.
 */
#define READING_PART		20
#define MOST_READING_US		(50 * 1000)

typedef struct Entry
{
	const char *name;
	const char *address;		/* shared by the names of a line */
	struct Entry *next;			/* in its bucket, in the file's order */
} Entry;

/* What a version of the hosts file says. */
typedef struct Hosts
{
	char	   *text;
	Entry	   *entries;
	size_t		nentries;
	Entry	  **buckets;
	size_t		nbuckets;		/* a power of two */
} Hosts;

static HttpFile hosts_file = {.path = "/etc/hosts"};
static Hosts hosts;
static unsigned hosts_version = 0;

/* ---------------------------------------------------------------------
 * Files
 * ---------------------------------------------------------------------
 */

static bool
same_file(const struct stat *a, const struct stat *b)
{
	return a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
		a->st_mtim.tv_nsec == b->st_mtim.tv_nsec && a->st_size == b->st_size &&
		a->st_ino == b->st_ino && a->st_dev == b->st_dev;
}

/* All zeros: there is none.  False: that cannot be told. */
static bool
look_at(const HttpFile *file, struct stat *current)
{
	memset(current, 0, sizeof(*current));
	return stat(file->path, current) == 0 || errno == ENOENT;
}

bool
http_file_is_same(const HttpFile *file)
{
	struct stat current;

	return file->known && look_at(file, &current) && same_file(&current, &file->seen);
}

/* All of it, with a zero at the end; NULL with errno.  None is an empty one. */
static char *
read_file(const char *path, size_t *size)
{
	int			fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	size_t		room = 4096;
	char	   *text;
	struct stat kind;
	ssize_t		got = 0;
	int			saved;

	*size = 0;
	if (fd < 0)
		return errno == ENOENT ? calloc(1, 1) : NULL;

	/* of a pipe, c-ares would wait for somebody to write */
	if (fstat(fd, &kind) != 0 || !(S_ISREG(kind.st_mode) || S_ISCHR(kind.st_mode)))
	{
		close(fd);
		errno = EINVAL;
		return NULL;
	}
	text = malloc(room + 1);
	while (text != NULL && *size < MOST_BYTES &&
		   (got = read(fd, text + *size, room - *size)) > 0)
	{
		*size += got;
		if (*size == room)
		{
			char	   *larger = realloc(text, 2 * room + 1);

			if (larger == NULL)
			{
				free(text);
				errno = ENOMEM;
			}
			text = larger;
			room *= 2;
		}
	}
	saved = errno;
	close(fd);
	if (*size >= MOST_BYTES && text != NULL)
	{
		/* part of a line would say something else */
		while (*size > 0 && text[*size - 1] != '\n')
			(*size)--;
	}
	if (text != NULL && got < 0)
	{
		free(text);
		text = NULL;
	}
	errno = saved;
	if (text != NULL)
		text[*size] = '\0';
	return text;
}

/* Of what it says, whatever the comments: some programs write the time there. */
static uint64_t
hash_of(const char *text, size_t size)
{
	const char *end = text + size;
	uint64_t	hash = UINT64_C(14695981039346656037);

	while (text < end)
	{
		const char *stop = memchr(text, '\n', end - text);
		bool		comment = *text == '#' || *text == ';';

		stop = stop != NULL ? stop + 1 : end;
		for (; text < stop; text++)
		{
			if (!comment)
				hash = (hash ^ (unsigned char) *text) * UINT64_C(1099511628211);
		}
	}
	return hash;
}

HttpFileState
http_file_look(HttpFile *file, int64_t now_us, char **text, size_t *size)
{
	struct stat current;
	uint64_t	hash;
	bool		same;

	if (!look_at(file, &current))
		return HTTP_FILE_UNREADABLE;
	if (file->known && same_file(&current, &file->seen))
		return HTTP_FILE_SAME;
	if (now_us < file->again_us)
		return HTTP_FILE_LATER;
	*text = read_file(file->path, size);
	if (*text == NULL)
		return HTTP_FILE_UNREADABLE;
	if (file->known && *size == 0 && !file->was_empty && !file->doubted)
	{
		file->doubted = true;
		file->again_us = now_us + DOUBT_US;
		free(*text);
		return HTTP_FILE_LATER;
	}
	hash = hash_of(*text, *size);
	same = file->known && hash == file->hash;
	file->known = true;
	file->seen = current;
	file->hash = hash;
	file->was_empty = *size == 0;
	file->doubted = false;
	if (same)
		free(*text);
	return same ? HTTP_FILE_SAME : HTTP_FILE_CHANGED;
}

/* ---------------------------------------------------------------------
 * /etc/hosts
 * ---------------------------------------------------------------------
 */

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\f' || c == '\v' || c == '\0';
}

/* The next word of what ends in a zero at end; NULL: there is none. */
static const char *
next_word(char **at, const char *end)
{
	char	   *word;

	while (*at < end && is_blank(**at))
		(*at)++;
	word = *at;
	while (*at < end && !is_blank(**at))
		(*at)++;
	if (*at == word)
		return NULL;
	if (*at < end)
		*(*at)++ = '\0';
	return word;
}

static bool
add_entry(Hosts *to, const char *name, const char *address, size_t *room)
{
	if (to->nentries == *room)
	{
		size_t		more = *room > 0 ? 2 * *room : 64;
		Entry	   *larger = realloc(to->entries, more * sizeof(Entry));

		if (larger == NULL)
			return false;
		to->entries = larger;
		*room = more;
	}
	to->entries[to->nentries++] = (Entry) {name, address, NULL};
	return true;
}

static Entry **
bucket_of(const Hosts *of, const char *name)
{
	unsigned	hash = 2166136261u;

	for (; *name != '\0'; name++)
	{
		unsigned char c = *name;

		hash = (hash ^ (c >= 'A' && c <= 'Z' ? c + 'a' - 'A' : c)) * 16777619u;
	}
	return &of->buckets[(hash ^ (hash >> 16)) & (of->nbuckets - 1)];
}

static void
free_hosts(Hosts *old)
{
	free(old->text);
	free(old->entries);
	free(old->buckets);
}

/* False: no memory.  The text is its own from now on. */
static bool
parse(Hosts *to, char *text, size_t size)
{
	char	   *end = text + size;
	size_t		room = 0;

	memset(to, 0, sizeof(*to));
	to->text = text;
	for (char *at = text; at < end; at++)
	{
		char	   *stop = memchr(at, '\n', end - at);
		char	   *comment;
		const char *address;
		const char *name;

		if (stop == NULL)
			stop = end;
		*stop = '\0';
		comment = memchr(at, '#', stop - at);
		if (comment != NULL)
			*comment = '\0';
		address = next_word(&at, comment != NULL ? comment : stop);
		while (address != NULL && (name = next_word(&at, comment != NULL ? comment : stop)) != NULL)
		{
			if (!add_entry(to, name, address, &room))
				return false;
		}
		at = stop;
	}
	for (to->nbuckets = 64; to->nbuckets < to->nentries; to->nbuckets *= 2)
		;
	to->buckets = calloc(to->nbuckets, sizeof(Entry *));
	if (to->buckets == NULL)
		return false;

	/* the last ones first, so that each bucket has them as the file does */
	for (size_t i = to->nentries; i-- > 0;)
	{
		Entry	   *entry = &to->entries[i];
		Entry	  **bucket = bucket_of(to, entry->name);

		entry->next = *bucket;
		*bucket = entry;
	}
	return true;
}

HttpFileState
http_hosts_look(int64_t now_us, unsigned *version)
{
	char	   *text;
	size_t		size;
	int64_t		began_us = poller_clock();
	int64_t		took_us;
	Hosts		fresh;
	HttpFileState state = http_file_look(&hosts_file, now_us, &text, &size);

	if (state == HTTP_FILE_CHANGED)
	{
		if (parse(&fresh, text, size))
		{
			free_hosts(&hosts);
			hosts = fresh;
			hosts_version++;
		}
		else
		{
			free_hosts(&fresh);
			hosts_file.known = false;	/* what we have is of an earlier one */
			errno = ENOMEM;
			state = HTTP_FILE_UNREADABLE;
		}
		took_us = poller_clock() - began_us;
		if (took_us > MOST_READING_US)
			took_us = MOST_READING_US;
		hosts_file.again_us = began_us + READING_PART * took_us;
	}
	*version = hosts_version;
	return state;
}

int64_t
http_hosts_again(void)
{
	return hosts_file.again_us;
}

bool
http_hosts_find(const char *host, HttpHostsAddress *each, void *arg)
{
	const char *last = NULL;
	bool		is_there = false;

	if (hosts.nbuckets == 0)
		return false;
	for (const Entry *entry = *bucket_of(&hosts, host); entry != NULL; entry = entry->next)
	{
		union
		{
			struct sockaddr any;
			struct sockaddr_in v4;
			struct sockaddr_in6 v6;
		}			address;

		/* a name may be twice in a line */
		if (entry->address == last || !ascii_same(entry->name, host))
			continue;
		last = entry->address;
		memset(&address, 0, sizeof(address));
		if (inet_pton(AF_INET, entry->address, &address.v4.sin_addr) == 1)
			address.any.sa_family = AF_INET;
		else if (inet_pton(AF_INET6, entry->address, &address.v6.sin6_addr) == 1)
			address.any.sa_family = AF_INET6;
		else
			continue;
		is_there = true;
		if (each == NULL)
			break;
		each(arg, &address.any, address.any.sa_family == AF_INET ?
			 sizeof(address.v4) : sizeof(address.v6));
	}
	return is_there;
}
