/*-------------------------------------------------------------------------
 *
 * secret.c
 *		Values that are secret, and where they come from.
 *
 * rswebhook.secret_sources is a list of what may be read: "env" or "file" for
 * any, "env:PREFIX" for variables whose names begin so, "file:/directory" for
 * what is below that directory.  Whoever may edit destinations can have
 * anything that it permits sent anywhere, which is why only a superuser sets
 * it, and why it permits nothing by default.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mb/pg_wchar.h"
#include "storage/fd.h"

#include "base/encoding.h"
#include "destination/secret.h"
#include "transform/json.h"

char	   *rswebhook_secret_sources = NULL;

#define MAX_FILE_BYTES	(64 * 1024)
#define BLANKS			" \t\r\n"
#define RUDDERSTACK_ENV	"env."

/* ---------------------------------------------------------------------
 * What a row says
 * ---------------------------------------------------------------------
 */

static Secret *
make_secret(SecretSource source, const char *text, int len)
{
	Secret	   *secret = palloc(sizeof(Secret));

	secret->source = source;
	secret->text = pnstrdup(text, len);
	return secret;
}

/* Is it an absolute path that stays below what it begins with? */
static bool
is_plain_path(const char *path)
{
	if (path[0] != '/' || strlen(path) >= MAXPGPATH)
		return false;
	for (const char *at = path; *at; at++)
	{
		if ((unsigned char) *at < ' ' || *at == 0x7F)
			return false;
		if (at[0] == '/' && at[1] == '.' && at[2] == '.' && (at[3] == '/' || at[3] == '\0'))
			return false;
	}
	return true;
}

static bool
is_variable_name(const char *name)
{
	if (name[0] >= '0' && name[0] <= '9')
		return false;
	for (const char *at = name; *at; at++)
	{
		if (!json_is_alnum(*at) && *at != '_')
			return false;
	}
	return name[0] != '\0';
}

/* A reference to a source, by the two words that it consists of. */
static Secret *
make_reference(const char *kind, int kind_len, const char *name, int name_len,
			   const char **problem)
{
	Secret	   *secret;

	if (json_key_is(kind, kind_len, "env"))
	{
		secret = make_secret(SECRET_ENV, name, name_len);
		if (is_variable_name(secret->text))
			return secret;
		*problem = "The name of an environment variable has only letters, digits and underscores.";
	}
	else if (json_key_is(kind, kind_len, "file"))
	{
		secret = make_secret(SECRET_FILE, name, name_len);
		if (is_plain_path(secret->text))
			return secret;
		*problem = "The file of a secret is given by its absolute path, without \"..\".";
	}
	else
		*problem = "A secret's source is an object such as {\"env\": \"NAME\"} or {\"file\": \"/path\"}.";
	return NULL;
}

/* The string between quotes at *at, after blanks; moves *at behind it. */
static bool
quoted_word(const char **at, const char **word, int *len)
{
	const char *start = *at + strspn(*at, BLANKS);

	if (*start++ != '"')
		return false;
	*len = strcspn(start, "\"\\");
	if (start[*len] != '"')
		return false;
	*word = start;
	*at = start + *len + 1;
	return true;
}

static bool
skip_character(const char **at, char c)
{
	*at += strspn(*at, BLANKS);
	if (**at != c)
		return false;
	(*at)++;
	return true;
}

bool
secret_in_environment(const char **text, int *len)
{
	const char *name = *text;
	int			name_len = *len;

	js_trim(&name, &name_len);
	if (name_len <= (int) strlen(RUDDERSTACK_ENV) ||
		memcmp(name, RUDDERSTACK_ENV, strlen(RUDDERSTACK_ENV)) != 0)
		return false;
	*text = name + strlen(RUDDERSTACK_ENV);
	*len = name_len - strlen(RUDDERSTACK_ENV);
	return true;
}

/*
 * A text is taken for a reference from {"env" or {"file" on, and so is a whole object of one
 * string, whose key is a mistake then.  Paths and names need no escapes, so this is all
 * of JSON that matters.  RudderStack's env.NAME is one as well.
 */
Secret *
secret_from_text(const char *text, const char **problem)
{
	const char *at = text;
	const char *kind;
	const char *name = text;
	int			kind_len;
	int			name_len = strlen(text);

	if (secret_in_environment(&name, &name_len))
		return make_reference("env", 3, name, name_len, problem);
	if (!skip_character(&at, '{') || !quoted_word(&at, &kind, &kind_len))
		return make_secret(SECRET_LITERAL, text, strlen(text));
	if (skip_character(&at, ':') && quoted_word(&at, &name, &name_len) &&
		skip_character(&at, '}') && at[strspn(at, BLANKS)] == '\0')
		return make_reference(kind, kind_len, name, name_len, problem);
	if (!json_key_is(kind, kind_len, "env") && !json_key_is(kind, kind_len, "file"))
		return make_secret(SECRET_LITERAL, text, strlen(text));
	*problem = "A secret's source is an object such as {\"env\": \"NAME\"} or {\"file\": \"/path\"}.";
	return NULL;
}

Secret *
secret_from_json(const JsonbValue *value, const char **problem)
{
	JsonbIterator *it;
	JsonbValue	kind;
	JsonbValue	name;

	if (value->type == jbvString)
		return make_secret(SECRET_LITERAL, value->val.string.val, value->val.string.len);

	*problem = "The value is neither a string nor a source such as {\"env\": \"NAME\"} or {\"file\": \"/path\"}.";
	if (!json_is_object(value) || JsonContainerSize(value->val.binary.data) != 1)
		return NULL;
	it = JsonbIteratorInit(value->val.binary.data);
	(void) JsonbIteratorNext(&it, &kind, true);
	(void) JsonbIteratorNext(&it, &kind, true);
	(void) JsonbIteratorNext(&it, &name, true);
	if (name.type != jbvString)
		return NULL;
	return make_reference(kind.val.string.val, kind.val.string.len,
						  name.val.string.val, name.val.string.len, problem);
}

char *
secret_describe(const Secret *secret)
{
	switch (secret->source)
	{
		case SECRET_ENV:
			return psprintf("environment variable \"%s\"",
							encoding_quotable(secret->text, strlen(secret->text)));
		case SECRET_FILE:
			return psprintf("file \"%s\"", secret->text);
		case SECRET_LITERAL:
			break;
	}
	return pstrdup("the row itself");
}

/* ---------------------------------------------------------------------
 * What may be read
 * ---------------------------------------------------------------------
 */

/* The next element of a list, trimmed; false at the end. */
static bool
next_element(const char **list, char **element)
{
	const char *start = *list + strspn(*list, BLANKS ",");
	int			len = strcspn(start, ",");

	if (len == 0)
		return false;
	*list = start + len;
	while (len > 0 && strchr(BLANKS, start[len - 1]) != NULL)
		len--;
	*element = pnstrdup(start, len);
	return true;
}

char *
secret_sources_problem(const char *list)
{
	char	   *element;

	while (next_element(&list, &element))
	{
		if (strcmp(element, "env") == 0 || strcmp(element, "file") == 0)
			continue;
		if (strncmp(element, "env:", 4) == 0 && is_variable_name(element + 4))
			continue;
		if (strncmp(element, "file:", 5) == 0 && is_plain_path(element + 5))
			continue;
		return psprintf("\"%s\" is none of \"env\", \"env:PREFIX\", \"file\" and \"file:/directory\".",
						encoding_quotable(element, strlen(element)));
	}
	return NULL;
}

/* Is the path below the directory, which may end in a slash? */
static bool
is_below(const char *path, const char *directory)
{
	size_t		len = strlen(directory);

	while (len > 0 && directory[len - 1] == '/')
		len--;
	return strlen(path) > len && memcmp(path, directory, len) == 0 && path[len] == '/';
}

static bool
starts_with(const char *text, const char *prefix)
{
	size_t		len = strlen(prefix);

	return strncmp(text, prefix, len) == 0;
}

bool
secret_permitted(const Secret *secret)
{
	const char *list = rswebhook_secret_sources;
	char	   *element;
	bool		env = secret->source == SECRET_ENV;

	if (secret->source == SECRET_LITERAL)
		return true;
	while (next_element(&list, &element))
	{
		if (strcmp(element, env ? "env" : "file") == 0 ||
			(env && starts_with(element, "env:") &&
			 starts_with(secret->text, element + strlen("env:"))) ||
			(!env && starts_with(element, "file:") &&
			 is_below(secret->text, element + strlen("file:"))))
			return true;
	}
	return false;
}

/* ---------------------------------------------------------------------
 * Reading it
 * ---------------------------------------------------------------------
 */

/*
 * Up to size bytes of a regular file, -1 with errno set on failure.  Nothing
 * in here throws, so that the descriptor is closed in any case.  If there is
 * none left, PostgreSQL closes one of its own for it.
 */
static ssize_t
read_file(const char *path, char *buffer, size_t size)
{
	int			fd = BasicOpenFile(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | PG_BINARY);
	struct stat status;
	size_t		used = 0;
	ssize_t		got = -1;
	int			save_errno;

	if (fd < 0)
		return -1;
	if (fstat(fd, &status) == 0)
	{
		errno = EINVAL;			/* a device, a pipe, a directory */
		if (S_ISREG(status.st_mode))
		{
			while (used < size && (got = read(fd, buffer + used, size - used)) > 0)
				used += got;
		}
	}
	save_errno = errno;
	close(fd);
	errno = save_errno;
	return got < 0 ? -1 : (ssize_t) used;
}

static char *
file_text(const char *path, const char **problem)
{
	char	   *buffer = palloc(MAX_FILE_BYTES + 2);
	ssize_t		len = read_file(path, buffer, MAX_FILE_BYTES + 1);

	if (len < 0)
	{
		*problem = errno == EINVAL ? "is not a regular file" :
			psprintf("cannot be read: %s", strerror(errno));
		return NULL;
	}
	if (len > MAX_FILE_BYTES)
	{
		*problem = "has more than 65536 bytes";
		return NULL;
	}
	if (memchr(buffer, '\0', len) != NULL)
	{
		*problem = "holds a NUL byte";
		return NULL;
	}

	/* the end of the last line is the editor's */
	if (len > 0 && buffer[len - 1] == '\n')
		len--;
	if (len > 0 && buffer[len - 1] == '\r')
		len--;
	buffer[len] = '\0';
	return buffer;
}

char *
secret_value(const Secret *secret, char **why)
{
	const char *problem = NULL;
	char	   *value = NULL;

	if (secret->source == SECRET_LITERAL)
		return secret->text;

	if (!secret_permitted(secret))
		problem = "is not permitted by rswebhook.secret_sources";
	else if (secret->source == SECRET_FILE)
		value = file_text(secret->text, &problem);
	else
	{
		value = getenv(secret->text);
		if (value == NULL)
			problem = "is not set";
	}

	if (problem == NULL && value[0] == '\0')
		problem = "is empty";
	if (problem == NULL &&
		!pg_verify_mbstr(GetDatabaseEncoding(), value, strlen(value), true))
		problem = "is not text in the database's encoding";
	if (problem == NULL)
		return value;
	*why = psprintf("a secret is missing: %s %s", secret_describe(secret), problem);
	return NULL;
}
