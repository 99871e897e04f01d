/*-------------------------------------------------------------------------
 *
 * mapping.c
 *		What goes where: {to, from} of headers, a query and a body, and the parts of
 *		a path.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"

#include "transform/dynamic.h"
#include "transform/json.h"
#include "transform/mapping.h"
#include "transform/mapping_path.h"

static bool
wrong(MappingProblem *problem, const char *detail, const char *hint)
{
	problem->detail = detail;
	problem->hint = hint;
	return false;
}

/* ---------------------------------------------------------------------
 * To
 * ---------------------------------------------------------------------
 */

static bool
begins_name(unsigned char c)
{
	return c == '_' || c == '$' || c == '@' || c >= 0x80 || (json_is_alnum(c) && !(c >= '0' && c <= '9'));
}

static bool
is_in_name(unsigned char c)
{
	return begins_name(c) || (c >= '0' && c <= '9');
}

static bool
is_plain_name(const char *text)
{
	if (!begins_name(*text))
		return false;
	while (*text != '\0' && is_in_name(*text))
		text++;
	return *text == '\0';
}

/* A text in quotes, which *at is moved behind; NULL: it does not end. */
static char *
take_quoted(const char **at, int *len)
{
	char		quote = **at;
	char	   *text = palloc(strlen(*at));
	const char *c;

	*len = 0;
	for (c = *at + 1; *c != '\0' && *c != quote; c++)
	{
		if (*c == '\\' && c[1] != '\0')
			c++;
		text[(*len)++] = *c;
	}
	if (*c != quote)
		return NULL;
	text[*len] = '\0';
	*at = c + 1;
	return text;
}

static bool
read_name_part(const char **at, MappingPart *part)
{
	const char *begin = *at;

	if (*begin == '"' || *begin == '\'')
	{
		part->name = take_quoted(at, &part->len);
		return part->name != NULL;
	}
	if (!begins_name(*begin))
		return false;
	while (is_in_name(**at))
		(*at)++;
	part->name = begin;
	part->len = *at - begin;
	return true;
}

/* ['name'], [0], [*]; false: it is none of these. */
static bool
read_bracket_part(const char **at, MappingPart *part)
{
	if (**at == '"' || **at == '\'')
	{
		part->name = take_quoted(at, &part->len);
		if (part->name == NULL)
			return false;
	}
	else if (**at == '*')
	{
		part->subscript = -1;
		(*at)++;
	}
	else
	{
		const char *begin = *at;

		for (; **at >= '0' && **at <= '9' && *at - begin < 9; (*at)++)
			part->subscript = part->subscript * 10 + (**at - '0');
		if (*at == begin)
			return false;
	}
	return *(*at)++ == ']';
}

/* The parts of a path that begins behind its "$". */
static bool
read_parts(const char *at, Mapping *mapping, MappingProblem *problem)
{
	mapping->parts = palloc(MAX_MAPPING_PARTS * sizeof(MappingPart));
	while (*at != '\0')
	{
		MappingPart part = {0};
		bool		good = false;

		if (mapping->nparts == MAX_MAPPING_PARTS)
			return wrong(problem, psprintf("its \"to\" has more than %d parts", MAX_MAPPING_PARTS), NULL);
		if (*at == '.')
		{
			at++;
			good = read_name_part(&at, &part);
		}
		else if (*at == '[')
		{
			at++;
			good = read_bracket_part(&at, &part);
		}
		if (!good)
			return wrong(problem, psprintf("its \"to\", \"%s\", is no path of names and subscripts", mapping->to),
						 "Use a path such as $.user.name or $.items[0].id, and $['first name'] for names with other characters than letters, digits and underscores.");
		if (part.subscript > MAX_MAPPING_SUBSCRIPT)
			return wrong(problem, psprintf("its \"to\", \"%s\", has a subscript of more than %d", mapping->to, MAX_MAPPING_SUBSCRIPT), NULL);
		if (part.name == NULL && mapping->nparts == 0)
			return wrong(problem, psprintf("its \"to\", \"%s\", begins with a subscript, and what is made is an object", mapping->to), NULL);
		mapping->parts[mapping->nparts++] = part;
	}
	return true;
}

/* What is no path of more than one part needs no quotes. */
static bool
read_to(Mapping *mapping, MappingProblem *problem)
{
	const char *to = mapping->to;
	const char *at = to;
	char	   *quoted;
	int			len;

	if (*to == '$')
		return read_parts(to + 1, mapping, problem);
	if (*to == '"' || *to == '\'')
	{
		quoted = take_quoted(&at, &len);
		if (quoted == NULL || *at != '\0')
			return wrong(problem, psprintf("the quotes of its \"to\", %s, do not end it", to), NULL);
	}
	else if (is_plain_name(to) || strchr(to, '.') != NULL)
		return read_parts(psprintf(".%s", to), mapping, problem);
	else
	{
		quoted = mapping->to;
		len = strlen(to);
	}
	mapping->parts = palloc(sizeof(MappingPart));
	mapping->parts[mapping->nparts++] = (MappingPart) {.name = quoted, .len = len};
	return true;
}

static int
count_each(const Mapping *mapping)
{
	int			count = 0;

	for (int i = 0; i < mapping->nparts; i++)
		count += mapping->parts[i].name == NULL && mapping->parts[i].subscript < 0;
	return count;
}

const MappingPart *
mapping_header(const Mapping *mapping)
{
	return mapping->nparts == 1 && mapping->parts[0].name != NULL ? &mapping->parts[0] : NULL;
}

/* ---------------------------------------------------------------------
 * From
 * ---------------------------------------------------------------------
 */

/* deep: of all pieces up to this one */
static const char *
findings_problem(const PathFindings *findings, int deep)
{
	if (findings->compares_deep)
		return "it compares two paths, of which one has a \".**\"";
	if (deep > 1)
		return "it has more than one \"..\" or \".**\"";
	if (findings->nproducts > PATHQUERY_MAX_PRODUCTS)
		return psprintf("it has more than %d multiplications and divisions", PATHQUERY_MAX_PRODUCTS);
	if (findings->has_variable)
		return "it has a variable, and there are none";
	return NULL;
}

/* What is no path may be a secret with a "$" in it, and is not quoted. */
static bool
read_from_path(Mapping *mapping, MappingList which, MappingProblem *problem)
{
	static const char hint[] = "Use a jsonpath such as $.properties.price, or put a text with a $ in single quotes.";
	const char *why = NULL;
	PathPieces	path;
	int			deep = 0;

	/* a part of a URL's path is the first that is found */
	if (!mapping_path_pieces(mapping->from, count_each(mapping), which != MAPPING_PATH, &path))
		return wrong(problem, "it has a \"$\" in it, and does not begin as a path", hint);
	mapping->list = path.list;
	mapping->forgiving = path.forgiving;
	mapping->as_text = path.as_text;
	mapping->npieces = path.count - (path.list != PATH_NO_LIST);
	mapping->pieces = palloc(path.count * sizeof(JsonPath *));
	mapping->findings = palloc(path.count * sizeof(PathFindings));
	for (int i = 0; why == NULL && i < path.count; i++)
	{
		char	   *message = pathquery_parse(path.pieces[i], &mapping->pieces[i]);

		if (message != NULL)
			return wrong(problem, psprintf("it has a \"$\" in it, and cannot be used as a path: %s",
										   pathquery_without_values(message, "")), hint);
		mapping->findings[i] = pathlook_at(mapping->pieces[i]);
		deep += mapping->findings[i].ndeep;
		why = findings_problem(&mapping->findings[i], deep);
	}
	if (why == NULL)
		return true;
	return wrong(problem, psprintf("it has a \"$\" in it, and cannot be used as a path: %s", why), hint);
}

/* A text in single quotes, or one that needs none. */
static bool
read_from_literal(Mapping *mapping, MappingProblem *problem)
{
	const char *at = mapping->from;
	char	   *literal = mapping->from;
	int			len = strlen(at);

	if (len > 0 && at[0] == '\'' && at[len - 1] == '\'')
	{
		literal = take_quoted(&at, &len);
		if (literal == NULL || *at != '\0')
			return wrong(problem, "the quotes of its \"from\" do not end it",
						 "Within single quotes, write \\' for a quote and \\\\ for a backslash.");
	}
	else if (strchr(at, '\'') != NULL)
		return wrong(problem, "its \"from\" is a text with a quote in it",
					 "Put it in single quotes, and write \\' for a quote within: 'it\\'s'.");
	json_set_string(&mapping->literal, literal, len);
	return true;
}

/* A part of a path stands for itself, or is a path. */
static bool
read_path_part(Mapping *mapping, MappingProblem *problem)
{
	if (strchr(mapping->from, '/') != NULL)
		return wrong(problem, "it has a \"/\" in it", "Use an element for each part of the path.");
	if (mapping_is_path(mapping->from))
		return read_from_path(mapping, MAPPING_PATH, problem);
	json_set_string(&mapping->literal, mapping->from, strlen(mapping->from));
	return true;
}

bool
mapping_is_literal(const JsonbValue *from)
{
	const char *text = pnstrdup(from->val.string.val, from->val.string.len);
	int			len = from->val.string.len;

	return !mapping_is_path(text) || (len > 1 && text[0] == '\'' && text[len - 1] == '\'');
}

static bool
read_from(Mapping *mapping, MappingList which, MappingProblem *problem)
{
	JsonbValue	from;

	if (which == MAPPING_PATH)
		return read_path_part(mapping, problem);
	json_set_string(&from, mapping->from, strlen(mapping->from));
	return mapping_is_literal(&from) ? read_from_literal(mapping, problem) : read_from_path(mapping, which, problem);
}

/* ---------------------------------------------------------------------
 * Lists
 * ---------------------------------------------------------------------
 */

/* Is a key of an item, or the item itself if that is no object, a template? */
static bool
find_template(const JsonbValue *item, const char *key, Template *found)
{
	JsonbValue	value;

	if (item == NULL)
		return false;
	value = *item;
	if (json_is_object(item) && !json_get(item, key, strlen(key), &value))
		return false;
	return value.type == jbvString && dynamic_template(value.val.string.val, value.val.string.len, found);
}

/* A string of a bounded length as such; false: it is none. */
static bool
read_string(const JsonbValue *value, const char *key, int most, char **string, MappingProblem *problem)
{
	if (value->type != jbvString)
		return wrong(problem, psprintf("its \"%s\" is not a string", key), NULL);
	if (value->val.string.len > most)
		return wrong(problem, psprintf("its \"%s\" has more than %d bytes", key, most), NULL);
	*string = pnstrdup(value->val.string.val, value->val.string.len);
	return true;
}

static bool
read_source(const JsonbValue *from, const JsonbValue *template, const char *key,
			MappingList which, Mapping *mapping, MappingProblem *problem)
{
	Template	found;

	/* what an event says is a value, whatever it looks like */
	if (find_template(template, key, &found) && !dynamic_is_default(from, &found))
	{
		mapping->literal = *from;
		mapping->by_event = true;
		return true;
	}
	if (!read_string(from, key, MAX_MAPPING_FROM, &mapping->from, problem))
		return false;
	/* of one that is not replaced yet, there is the default to be looked at */
	if (template == NULL && find_template(from, key, &found))
		mapping->from = dynamic_fallback(&found);
	return read_from(mapping, which, problem);
}

/* One of {to, from}; *used: it is not empty. */
static bool
read_mapping(const JsonbValue *item, const JsonbValue *template, MappingList which,
			 Mapping *mapping, bool *used, MappingProblem *problem)
{
	JsonbValue	to;
	JsonbValue	from;
	Template	found;

	if (!json_is_object(item))
		return wrong(problem, "it is not an object", "Give each as {\"to\": \"...\", \"from\": \"...\"}.");
	*used = json_get(item, "to", 2, &to) && to.type != jbvNull &&
		!(to.type == jbvString && to.val.string.len == 0) && json_get(item, "from", 4, &from);
	if (!*used)
		return true;
	/* where it was one, an event has replaced it */
	if (template == NULL && find_template(item, "to", &found))
		return wrong(problem, "its \"to\" is a template", which == MAPPING_HEADERS ?
					 "Put the header into headers, whose names may be templates." :
					 "Use a path such as $.user.name: only \"from\" may be a template.");
	if (!read_string(&to, "to", MAX_MAPPING_TO, &mapping->to, problem) || !read_to(mapping, problem))
		return false;
	if (which == MAPPING_HEADERS && mapping_header(mapping) == NULL)
		return wrong(problem, psprintf("its \"to\", \"%s\", is more than the name of a header", mapping->to),
					 "Put a name with a dot in it in quotes: 'X.Name'.");
	return read_source(&from, template, "from", which, mapping, problem);
}

/* One of {path}, or the path itself. */
static bool
read_part(const JsonbValue *item, const JsonbValue *template, Mapping *mapping, MappingProblem *problem)
{
	JsonbValue	path = *item;

	if (json_is_object(item) && !json_get(item, "path", 4, &path))
		return wrong(problem, "it has no \"path\"", "Give each part as a string, or as {\"path\": \"...\"}.");
	return read_source(&path, template, "path", MAPPING_PATH, mapping, problem);
}

static bool
may_take_time(const Mapping *mapping)
{
	for (int i = 0; i < mapping_npieces(mapping); i++)
	{
		if (!mapping->findings[i].is_plain)
			return true;
	}
	return false;
}

bool
mapping_read_list(const JsonbValue *list, const JsonbValue *templates, MappingList which,
				  Mappings *mappings, MappingProblem *problem)
{
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue	item;

	memset(mappings, 0, sizeof(*mappings));
	memset(problem, 0, sizeof(*problem));
	if (list->type == jbvNull)
		return true;
	if (!json_is_array(list))
		return wrong(problem, "it is not an array", which == MAPPING_PATH ?
					 "Use an array such as [\"users\", \"$.userId\"]." :
					 "Use an array such as [{\"to\": \"name\", \"from\": \"$.traits.name\"}].");
	if (JsonContainerSize(list->val.binary.data) > MAX_MAPPINGS)
		return wrong(problem, psprintf("it has more than %d elements", MAX_MAPPINGS), NULL);

	mappings->items = palloc0(Max(JsonContainerSize(list->val.binary.data), 1) * sizeof(Mapping));
	it = JsonbIteratorInit(list->val.binary.data);
	while ((token = JsonbIteratorNext(&it, &item, true)) != WJB_DONE)
	{
		Mapping    *mapping = &mappings->items[mappings->count];
		JsonbValue *template;
		bool		used = true;

		if (token != WJB_ELEM)
			continue;
		CHECK_FOR_INTERRUPTS();
		template = templates == NULL || !json_is_array(templates) ? NULL :
			getIthJsonbValueFromContainer(templates->val.binary.data, problem->position);
		problem->position++;
		if (which == MAPPING_PATH ? !read_part(&item, template, mapping, problem) :
			!read_mapping(&item, template, which, mapping, &used, problem))
			return false;
		mappings->takes_time |= may_take_time(mapping);
		if (used)
			mappings->count++;
	}
	return true;
}

/* ---------------------------------------------------------------------
 * Copies
 * ---------------------------------------------------------------------
 */

static void
pack_literal(Packing *packing, JsonbValue *to, const JsonbValue *literal)
{
	char	   *text = literal->type == jbvString ?
		pack(packing, literal->val.string.val, literal->val.string.len) : NULL;

	if (to != NULL && literal->type == jbvString)
		to->val.string.val = text;
}

/* One that is not made for a single event: its literal is a string. */
static void
pack_mapping(Packing *packing, Mapping *to, const Mapping *mapping)
{
	Mapping		copy = *mapping;

	copy.to = pack_string(packing, mapping->to);
	copy.from = pack_string(packing, mapping->from);
	copy.parts = pack(packing, mapping->parts, mapping->nparts * sizeof(MappingPart));
	for (int i = 0; i < mapping->nparts; i++)
	{
		char	   *name = mapping->parts[i].name == NULL ? NULL :
			pack(packing, mapping->parts[i].name, mapping->parts[i].len);

		if (copy.parts != NULL)
			copy.parts[i].name = name;
	}
	copy.pieces = pack(packing, mapping->pieces, mapping_npieces(mapping) * sizeof(JsonPath *));
	copy.findings = pack(packing, mapping->findings, mapping_npieces(mapping) * sizeof(PathFindings));
	for (int i = 0; i < mapping_npieces(mapping); i++)
	{
		JsonPath   *piece = pack(packing, mapping->pieces[i], VARSIZE(mapping->pieces[i]));

		if (copy.pieces != NULL)
			copy.pieces[i] = piece;
	}
	pack_literal(packing, to != NULL ? &copy.literal : NULL, &mapping->literal);
	if (to != NULL)
		*to = copy;
}

void
mapping_pack(Packing *packing, Mappings *to, const Mappings *mappings)
{
	Mapping    *items;

	if (mappings->items == NULL)
		return;
	items = pack(packing, mappings->items, Max(mappings->count, 1) * sizeof(Mapping));
	for (int i = 0; i < mappings->count; i++)
		pack_mapping(packing, items != NULL ? &items[i] : NULL, &mappings->items[i]);
	to->items = items;
}
