/*-------------------------------------------------------------------------
 *
 * check_mapping.c
 *		The rules of header_mapping, query_mapping, path_parts, body_mapping, format and
 *		xml_root.
 *
 * As in check.c, nothing raises an error for what a value says, and no problem quotes a
 * literal, which may be a secret.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"

#include "base/encoding.h"
#include "destination/auth.h"
#include "destination/check_mapping.h"
#include "destination/secret.h"
#include "transform/dynamic.h"
#include "transform/header.h"
#include "transform/json.h"
#include "transform/request.h"
#include "transform/xmltext.h"

static const char *const columns[MAPPING_LISTS] = {
	[MAPPING_HEADERS] = "header_mapping",
	[MAPPING_QUERY] = "query_mapping",
	[MAPPING_PATH] = "path_parts",
	[MAPPING_BODY] = "body_mapping"
};

static char *
element(int position)
{
	return psprintf("element %d", position);
}

/*
 * RudderStack reads any string of a Config from the environment; here that is for what is
 * secret, in headers, and a text of that form is not sent as it is.
 */
static bool
check_sources(const Mappings *mappings, MappingList which, FieldProblem *problem)
{
	for (int i = 0; i < mappings->count; i++)
	{
		const char *text = mappings->items[i].from;
		int			len = strlen(text);

		CHECK_FOR_INTERRUPTS();
		if (secret_in_environment(&text, &len))
			return problem_set_part(problem, columns[which],
									which == MAPPING_PATH ? element(i + 1) : psprintf("\"%s\"", mappings->items[i].to),
									"It is not read from the environment.",
									which == MAPPING_HEADERS ?
									"Put the header into headers, as {\"X-Name\": {\"env\": \"NAME\"}}, or a text that is meant so in single quotes." :
									which == MAPPING_PATH ? "Put a text that is meant so into url." :
									"Only headers can be: put a text that is meant so in single quotes.");
	}
	return true;
}

static bool
check_list(Jsonb *list, MappingList which, Mappings *mappings, FieldProblem *problem)
{
	JsonbValue	root;
	MappingProblem why;

	json_set_container(&root, &list->root, VARSIZE(list) - VARHDRSZ);
	if (JB_ROOT_IS_SCALAR(list))
		root.type = jbvBool;	/* whatever it is, it is no list */
	if (mapping_read_list(&root, NULL, which, mappings, &why))
		return true;
	if (why.position > 0)
		return problem_set_part(problem, columns[which], element(why.position),
								problem_sentence(why.detail), why.hint);
	return problem_set(problem, columns[which], NULL, problem_sentence(why.detail), why.hint);
}

static bool
header_is_given(const DestinationFields *fields, const MappingPart *name)
{
	DestinationAuth auth;
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue	key;

	auth_read(fields, &auth);
	if (auth.header != NULL &&
		header_names_equal(name->name, name->len, auth.header, strlen(auth.header)))
		return true;
	if (fields->headers == NULL)
		return false;
	it = JsonbIteratorInit(&fields->headers->root);
	while ((token = JsonbIteratorNext(&it, &key, true)) != WJB_DONE)
	{
		if (token == WJB_KEY &&
			header_names_equal(name->name, name->len, key.val.string.val, key.val.string.len))
			return true;
	}
	return false;
}

/* Of a template, what is known of the value is its default. */
static const char *
literal_problem(const JsonbValue *literal)
{
	const char *text = literal->val.string.val;
	int			len = literal->val.string.len;
	Template	found;

	if (literal->type != jbvString)
		return NULL;
	if (dynamic_template(text, len, &found))
	{
		text = dynamic_fallback(&found);
		len = strlen(text);
	}
	return request_header_value_problem(text, len);
}

static bool
check_headers(const DestinationFields *fields, const Mappings *mappings, FieldProblem *problem)
{
	int			count = fields->headers != NULL ? JB_ROOT_COUNT(fields->headers) : 0;

	for (int i = 0; i < mappings->count; i++)
	{
		const Mapping *mapping = &mappings->items[i];
		const MappingPart *name = mapping_header(mapping);
		char	   *part = psprintf("header \"%s\"", encoding_quotable(name->name, name->len));
		const char *why = request_header_name_problem(name->name, name->len);

		CHECK_FOR_INTERRUPTS();
		if (why == NULL)
			why = literal_problem(&mapping->literal);
		if (why != NULL)
			return problem_set_part(problem, columns[MAPPING_HEADERS], part, problem_sentence(why), NULL);
		if (header_is_given(fields, name))
			return problem_set_part(problem, columns[MAPPING_HEADERS], part,
									"headers or auth_type sets it as well.", "Give each header once.");
	}
	if (mappings->count + count <= MAX_HEADERS)
		return true;
	return problem_set(problem, columns[MAPPING_HEADERS], NULL,
					   psprintf("Together with headers, there are more than %d headers.", MAX_HEADERS), NULL);
}

static bool
check_format(const DestinationFields *fields, FieldProblem *problem)
{
	const char *format = fields->format;
	const char *why;

	if (format == NULL)
		return true;
	if (strcmp(format, "json") != 0 && strcmp(format, "form") != 0 && strcmp(format, "xml") != 0)
		return problem_set(problem, "format", format, "There is no such format.",
						   "Use \"json\", \"form\" or \"xml\".");
	if (fields->xml_root == NULL)
		return true;
	if (strcmp(format, "xml") != 0)
		return problem_set(problem, "xml_root", NULL,
						   psprintf("It has no meaning with format \"%s\".", format),
						   "Set format to \"xml\", or the column to null.");
	why = xmltext_name_problem(fields->xml_root, strlen(fields->xml_root));
	return why == NULL ||
		problem_set(problem, "xml_root", fields->xml_root, problem_sentence(why),
					"Use a name such as \"order\", or null for \"" XMLTEXT_ROOT "\".");
}

bool
destination_mappings_check(const DestinationFields *fields, FieldProblem *problem)
{
	for (int which = 0; which < MAPPING_LISTS; which++)
	{
		Mappings	mappings;

		if (fields->mapping[which] == NULL)
			continue;
		if (!check_list(fields->mapping[which], which, &mappings, problem) ||
			!check_sources(&mappings, which, problem))
			return false;
		if (which == MAPPING_HEADERS && !check_headers(fields, &mappings, problem))
			return false;
	}
	return check_format(fields, problem);
}

bool
destination_is_mapped(const DestinationFields *fields)
{
	for (int which = 0; which < MAPPING_LISTS; which++)
	{
		if (fields->mapping[which] != NULL)
			return true;
	}
	return fields->format != NULL && strcmp(fields->format, "json") != 0;
}
