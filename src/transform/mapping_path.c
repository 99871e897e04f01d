/*-------------------------------------------------------------------------
 *
 * mapping_path.c
 *		JSONPath as RudderStack's users write it, as PostgreSQL's jsonpath.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "miscadmin.h"

#include "transform/json.h"
#include "transform/mapping_path.h"

/* A step that finds a list. */
typedef struct ListStep
{
	PathList	kind;
	int			at;				/* where it begins in what has become of the path */
	int			end;			/* and where it ends; -1: with the name behind it */
} ListStep;

/* A path that is being read, and what has become of it. */
typedef struct Reading
{
	const char *at;
	const char *end;
	StringInfo	out;
	int			depth;			/* of parentheses and brackets */
	int		   *cuts;			/* where out may be cut; NULL: nowhere */
	int			ncuts;
	int			most_cuts;
	bool	   *descends;		/* it has a ".." */
	ListStep	list;			/* the last one that was read, and the one before it */
	ListStep	earlier;
	bool		computes;		/* it is no path alone */
} Reading;

static void read_path(Reading *r);

bool
mapping_is_path(const char *from)
{
	return strchr(from, '$') != NULL;
}

static const char *
skip_blanks(const char *at, const char *end)
{
	while (at < end && strchr(" \t\r\n", *at) != NULL)
		at++;
	return at;
}

/* What follows the text in quotes that begins there; NULL: it does not end. */
static const char *
skip_quoted(const char *at, const char *end)
{
	char		quote = *at++;

	for (; at < end; at++)
	{
		if (*at == '\\')
			at++;
		else if (*at == quote)
			return at + 1;
	}
	return NULL;
}

/* Likewise of something in brackets or parentheses, with all in it. */
static const char *
skip_enclosed(const char *at, const char *end)
{
	int			depth = 0;

	while (at < end)
	{
		if (*at == '"' || *at == '\'')
		{
			at = skip_quoted(at, end);
			if (at == NULL)
				return NULL;
			continue;
		}
		if (*at == '(' || *at == '[')
			depth++;
		else if ((*at == ')' || *at == ']') && --depth == 0)
			return at + 1;
		at++;
	}
	return NULL;
}

/* In double quotes; with the quotes, from begin to end. */
static void
append_quoted(StringInfo out, const char *begin, const char *end)
{
	char		quote = *begin;

	appendStringInfoChar(out, '"');
	for (const char *c = begin + 1; c < end - 1; c++)
	{
		if (*c == '\\' && c[1] == '\'' && c + 1 < end - 1)
			continue;
		if (*c == '\\' && c + 1 < end - 1)
			appendStringInfoChar(out, *c++);
		else if (*c == '"' && quote == '\'')
			appendStringInfoChar(out, '\\');
		appendStringInfoChar(out, *c);
	}
	appendStringInfoChar(out, '"');
}

static bool
read_quoted(Reading *r)
{
	const char *end = skip_quoted(r->at, r->end);

	if (end == NULL)
		return false;
	append_quoted(r->out, r->at, end);
	r->at = end;
	return true;
}

/* An element from the end, -1 being the last one. */
static void
append_from_end(StringInfo out, int back)
{
	if (back == 1)
		appendStringInfoString(out, "last");
	else
		appendStringInfo(out, "last - %d", back - 1);
}

/* A subscript as it is in most languages; false: there is none, or a large one. */
static bool
read_subscript(const char **at, const char *end, int *subscript, bool *negative)
{
	int			digits = 0;

	*at = skip_blanks(*at, end);
	*negative = *at < end && **at == '-';
	if (*negative)
		(*at)++;
	*subscript = 0;
	for (; *at < end && **at >= '0' && **at <= '9' && digits < 9; (*at)++, digits++)
		*subscript = *subscript * 10 + (**at - '0');
	if (digits > 0)
		*at = skip_blanks(*at, end);
	return digits > 0;
}

/* A step that finds a list has been read, from there on. */
static void
note_list(Reading *r, PathList kind, int at, int end)
{
	if (r->depth > 0)
		return;
	r->earlier = r->list;
	r->list = (ListStep) {kind, at, end};
}

/* [-1], [1:], [:2], [0:2], whose end is not one of them. */
static bool
read_elements(Reading *r)
{
	const char *at = r->at + 1;
	int			from;
	int			upto;
	bool		from_end;
	bool		upto_end;
	bool		has_from = read_subscript(&at, r->end, &from, &from_end);
	bool		has_upto;
	int			begin;

	if (at < r->end && *at == ']')
	{
		if (!has_from || !from_end || from == 0)
			return false;
		appendStringInfoChar(r->out, '[');
		append_from_end(r->out, from);
		appendStringInfoChar(r->out, ']');
		r->at = at + 1;
		return true;
	}
	if (at >= r->end || *at != ':' || (from_end && !has_from))
		return false;
	at++;
	has_upto = read_subscript(&at, r->end, &upto, &upto_end);
	if (at >= r->end || *at != ']' || (upto_end && !has_upto))
		return false;

	begin = r->out->len;
	appendStringInfoChar(r->out, '[');
	if (has_from && from_end)
		append_from_end(r->out, Max(from, 1));
	else
		appendStringInfo(r->out, "%d", has_from ? from : 0);
	appendStringInfoString(r->out, " to ");
	if (!has_upto)
		appendStringInfoString(r->out, "last");
	else if (upto_end)
		append_from_end(r->out, upto + 1);
	else
		appendStringInfo(r->out, "%d", upto - 1);
	appendStringInfoChar(r->out, ']');
	note_list(r, PATH_ELEMENTS, begin, r->out->len);
	r->at = at + 1;
	return true;
}

/* Is a condition no more than the path to something that has to be there? */
static bool
asks_if_there(const char *at, const char *end)
{
	if (at >= end || (*at != '@' && *at != '$'))
		return false;
	while (at < end)
	{
		if (*at == '"' || *at == '\'')
		{
			at = skip_quoted(at, end);
			if (at == NULL)
				return false;
			continue;
		}
		if (strchr("=<>!&|+/%() ", *at) != NULL)
			return false;
		at++;
	}
	return true;
}

/* What is between begin and end, with nothing cut in it. */
static void
read_inner(Reading *r, const char *begin, const char *end)
{
	Reading		inner = {.at = begin, .end = end, .out = r->out, .depth = r->depth + 1, .descends = r->descends};

	read_path(&inner);
}

/* [?(@.qty > 1)] */
static bool
read_condition(Reading *r)
{
	const char *open = skip_blanks(r->at + 1, r->end);
	const char *begin;
	const char *end;
	const char *close;

	if (open >= r->end || *open != '?')
		return false;
	open = skip_blanks(open + 1, r->end);
	if (open >= r->end || *open != '(')
		return false;
	end = skip_enclosed(open, r->end);
	if (end == NULL)
		return false;
	close = skip_blanks(end, r->end);
	if (close >= r->end || *close != ']')
		return false;

	begin = skip_blanks(open + 1, end);
	end--;
	while (end > begin && end[-1] == ' ')
		end--;
	appendStringInfoString(r->out, "[*] ? (");
	if (asks_if_there(begin, end))
	{
		appendStringInfoString(r->out, "exists(");
		read_inner(r, begin, end);
		appendStringInfoChar(r->out, ')');
	}
	else
		read_inner(r, begin, end);
	appendStringInfoChar(r->out, ')');
	r->at = close + 1;
	return true;
}

/* ['name'], ["name"] */
static bool
read_name(Reading *r)
{
	const char *begin = skip_blanks(r->at + 1, r->end);
	const char *end;
	const char *close;

	if (begin >= r->end || (*begin != '"' && *begin != '\''))
		return false;
	end = skip_quoted(begin, r->end);
	close = end != NULL ? skip_blanks(end, r->end) : NULL;
	if (close == NULL || close >= r->end || *close != ']')
		return false;
	appendStringInfoChar(r->out, '.');
	append_quoted(r->out, begin, end);
	r->at = close + 1;
	return true;
}

/* [*], or what is the same with a condition, which belongs to it. */
static bool
read_each(Reading *r)
{
	const char *star = skip_blanks(r->at + 1, r->end);
	const char *close = star < r->end && *star == '*' ? skip_blanks(star + 1, r->end) : NULL;

	if (close != NULL && close < r->end && *close == ']')
	{
		note_list(r, PATH_ELEMENTS, r->out->len, r->out->len + 3);
		appendStringInfoString(r->out, "[*]");
		r->at = close + 1;
	}
	else if (!read_condition(r))
		return false;

	for (;;)
	{
		const char *mark = skip_blanks(r->at, r->end);
		const char *open = mark < r->end && *mark == '?' ? skip_blanks(mark + 1, r->end) : NULL;
		const char *end = open != NULL && open < r->end && *open == '(' ? skip_enclosed(open, r->end) : NULL;

		if (end == NULL)
			break;
		appendStringInfoString(r->out, " ? (");
		read_inner(r, open + 1, end - 1);
		appendStringInfoChar(r->out, ')');
		r->at = end;
	}
	if (r->depth == 0 && r->ncuts < r->most_cuts)
		r->cuts[r->ncuts++] = r->out->len;
	return true;
}

/* Does a bracket name several elements?  [0,1], [0 to 1] */
static bool
names_several(const char *at, const char *end)
{
	const char *close = skip_enclosed(at, end);

	for (; close != NULL && at < close; at++)
	{
		if (*at == ',' || (close - at > 4 && memcmp(at, " to ", 4) == 0))
			return true;
	}
	return false;
}

static bool
begins(const Reading *r, const char *text)
{
	return r->end - r->at >= (ptrdiff_t) strlen(text) && memcmp(r->at, text, strlen(text)) == 0;
}

/* Put something else in the place of a text that stands there. */
static bool
read_as(Reading *r, const char *text, const char *meant)
{
	if (!begins(r, text))
		return false;
	appendStringInfoString(r->out, meant);
	r->at += strlen(text);
	return true;
}

static void
read_path(Reading *r)
{
	check_stack_depth();
	while (r->at < r->end)
	{
		if (*r->at == '[' && (read_each(r) || read_name(r) || read_elements(r)))
			continue;
		if ((*r->at == '"' || *r->at == '\'') && read_quoted(r))
			continue;
		if (begins(r, "..") && !begins(r, "..."))
		{
			note_list(r, PATH_DEEP, r->out->len, -1);
			appendStringInfoString(r->out, r->at + 2 < r->end && r->at[2] == '[' ? ".**" : ".**.");
			r->at += 2;
			*r->descends = true;
			continue;
		}
		if (begins(r, ".*") && !begins(r, ".**"))
			note_list(r, PATH_MEMBERS, r->out->len, r->out->len + 2);
		if (read_as(r, ".**", ".**") || read_as(r, ".*", ".*") || read_as(r, ".length()", ".size()") || read_as(r, "===", "==") || read_as(r, "!==", "!="))
			continue;
		if (*r->at == '[' && names_several(r->at, r->end))
			note_list(r, PATH_ELEMENTS, r->out->len, r->out->len + (skip_enclosed(r->at, r->end) - r->at));
		/* a condition is a step of a path */
		if (r->depth == 0 && strchr("+-*/%=<>!&|", *r->at) != NULL)
			r->computes = true;
		if (*r->at == '(' || *r->at == '[')
			r->depth++;
		else if (*r->at == ')' || *r->at == ']')
			r->depth--;
		appendStringInfoChar(r->out, *r->at++);
	}
}

/* Is that the name that a ".**" looks for, and nothing else? */
static bool
is_name(const char *text)
{
	const char *end = text + strlen(text);

	text += strspn(text, ".");
	if (*text == '"')
		return skip_quoted(text, end) == end;
	while (json_is_alnum(*text) || *text == '_' || (unsigned char) *text >= 0x80)
		text++;
	return text == end;
}

static bool
is_at_end(const Reading *r, const ListStep *step)
{
	if (step->kind == PATH_NO_LIST)
		return false;
	return step->end < 0 ? is_name(r->out->data + step->at + strlen(".**")) : step->end == r->out->len;
}

static void
shorten(StringInfo out, int len)
{
	out->len = len;
	out->data[len] = '\0';
}

/* Blanks at the end, and .string(), which is then in no piece. */
static bool
take_end(const Reading *r)
{
	static const char text[] = ".string()";
	StringInfo	out = r->out;
	bool		taken = false;

	for (;;)
	{
		if (out->len > 0 && strchr(" \t\r\n", out->data[out->len - 1]) != NULL)
			shorten(out, out->len - 1);
		else if (!r->computes && r->depth == 0 && out->len > strlen(text) &&
				 strcmp(out->data + out->len - strlen(text), text) == 0)
		{
			shorten(out, out->len - strlen(text));
			taken = true;
		}
		else
			return taken;
	}
}

/* What a path ends in, from the place "from" on. */
static ListStep
list_at_end(const Reading *r, int from)
{
	static const ListStep none = {PATH_NO_LIST, 0, 0};
	StringInfo	out = r->out;
	ListStep	list = r->list;

	if (r->computes || list.at < from || !is_at_end(r, &list))
		return none;
	/* the elements of a list are the list */
	if (strcmp(out->data + list.at, "[*]") == 0 && r->earlier.kind != PATH_NO_LIST && r->earlier.at >= from)
	{
		shorten(out, list.at);
		if (is_at_end(r, &r->earlier))
			return r->earlier;
		appendStringInfoString(out, "[*]");
	}
	return list;
}

bool
mapping_path_pieces(const char *from, int most_cuts, bool with_list, PathPieces *path)
{
	static const char *const modes[] = {"lax ", "strict "};
	const char *mode = "";
	StringInfoData out;
	Reading		r = {.at = from, .end = from + strlen(from), .out = &out, .most_cuts = most_cuts, .descends = &path->forgiving};
	int			begin = 0;

	memset(path, 0, sizeof(*path));
	initStringInfo(&out);
	r.cuts = palloc((most_cuts + 2) * sizeof(int));
	r.at = skip_blanks(r.at, r.end);
	for (int i = 0; i < lengthof(modes); i++)
	{
		if (begins(&r, modes[i]))
		{
			mode = modes[i];
			r.at = skip_blanks(r.at + strlen(mode), r.end);
		}
	}
	/* what is no path may be a secret, and what follows "$" could be a variable */
	if (!begins(&r, "$") || json_is_alnum(r.at[1]) || r.at[1] == '_' || (unsigned char) r.at[1] >= 0x80)
		return false;
	read_path(&r);
	path->as_text = take_end(&r);
	if (with_list)
	{
		/* what is cut already goes to its elements */
		ListStep	list = list_at_end(&r, r.ncuts > 0 ? r.cuts[r.ncuts - 1] : 0);

		path->list = list.kind;
		if (list.kind != PATH_NO_LIST)
			r.cuts[r.ncuts++] = list.at;
	}
	if (*mode != '\0')
		path->forgiving = false;

	path->count = r.ncuts + 1;
	path->pieces = palloc(path->count * sizeof(char *));
	for (int i = 0; i < path->count; i++)
	{
		int			end = i < r.ncuts ? r.cuts[i] : out.len;
		char	   *piece = pnstrdup(out.data + begin, end - begin);
		const char *how = path->forgiving && strstr(piece, ".**") != NULL ? "strict " : mode;
		/* a list of members is made of each element */
		const char *each = path->list == PATH_MEMBERS && *how == '\0' && i == r.ncuts - 1 ? "[*]" : "";

		path->pieces[i] = psprintf("%s%s%s%s", how, i == 0 ? "" : "$", piece, each);
		begin = end;
	}
	return true;
}
