/*-------------------------------------------------------------------------
 *
 * options.c
 *		What a trigger of ours was told by its arguments.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/partition.h"
#include "executor/spi.h"
#include "lib/stringinfo.h"
#include "parser/scansup.h"

#include "api/options.h"
#include "base/encoding.h"
#include "tables/tables.h"

const char *const options_truths[] = {"true", "false", NULL};

static const char again[] = "Create the trigger anew.";

/* "a, b, c" */
static const char *
names_of(const Option *options, int count)
{
	StringInfoData list;

	initStringInfo(&list);
	for (int i = 0; i < count; i++)
		appendStringInfo(&list, "%s%s", i > 0 ? ", " : "", options[i].name);
	return list.data;
}

static const char *
values_of(const Option *option)
{
	StringInfoData list;

	initStringInfo(&list);
	for (int i = 0; option->allowed[i] != NULL; i++)
		appendStringInfo(&list, "%s%s", i > 0 ? ", " : "", option->allowed[i]);
	return list.data;
}

static Option *
find_option(const char *argument, Option *options, int count)
{
	const char *equals = strchr(argument, '=');

	for (int i = 0; equals != NULL && i < count; i++)
	{
		if (strlen(options[i].name) == (size_t) (equals - argument) &&
			strncmp(options[i].name, argument, equals - argument) == 0)
			return &options[i];
	}
	return NULL;
}

static bool
is_allowed(const Option *option)
{
	for (int i = 0; option->allowed[i] != NULL; i++)
	{
		if (strcmp(option->allowed[i], option->value) == 0)
			return true;
	}
	return false;
}

bool
options_read(const Trigger *trigger, int first, Option *options, int count, Refusal *refusal)
{
	for (int i = first; i < trigger->tgnargs; i++)
	{
		const char *argument = trigger->tgargs[i];
		Option	   *option = find_option(argument, options, count);

		if (option == NULL)
			return refusal_set(refusal, ERRCODE_INVALID_PARAMETER_VALUE,
						  psprintf("invalid argument \"%s\" of trigger \"%s\"",
								   encoding_quotable(argument, strlen(argument)), trigger->tgname),
						  psprintf("Options have the form key=value; the keys are: %s.", names_of(options, count)),
						  again);
		if (option->given)
			return refusal_set(refusal, ERRCODE_INVALID_PARAMETER_VALUE,
						  psprintf("option \"%s\" of trigger \"%s\" is given twice", option->name, trigger->tgname),
						  NULL, again);
		option->given = true;
		option->value = strchr(argument, '=') + 1;
		if (option->value[0] == '\0')
			return refusal_set(refusal, ERRCODE_INVALID_PARAMETER_VALUE,
						  psprintf("option \"%s\" of trigger \"%s\" has no value", option->name, trigger->tgname),
						  NULL, "Create the trigger anew, with a value or without the option.");
		if (option->allowed != NULL && !is_allowed(option))
			return refusal_set(refusal, ERRCODE_INVALID_PARAMETER_VALUE,
						  psprintf("invalid value \"%s\" for option \"%s\" of trigger \"%s\"",
								   encoding_quotable(option->value, strlen(option->value)), option->name, trigger->tgname),
						  psprintf("The values are: %s.", values_of(option)), again);
	}
	return true;
}

Enrichment
options_enrichment(const Option *option)
{
	return !option->given ? ENRICH_AS_SET : strcmp(option->value, "true") == 0 ? ENRICH_YES : ENRICH_NO;
}

bool
options_table(Relation rel, const Trigger *trigger, Refusal *refusal)
{
	static const char *const tables[] = {"event", "queue", "message"};
	Oid			relid = RelationGetRelid(rel);

	if (rel->rd_rel->relispartition)
		relid = llast_oid(get_partition_ancestors(relid));
	for (int i = 0; i < lengthof(tables); i++)
	{
		if (relid == tables_find(tables[i]))
			return refusal_set(refusal, ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
						  psprintf("trigger \"%s\" cannot be on \"rswebhook.%s\"", trigger->tgname, tables[i]),
						  "What it sends is written there itself.", "Send from rswebhook.delivery, or from tables of your own.");
	}
	return true;
}

bool
options_column(Relation rel, const Trigger *trigger, const char *name, int *attnum, Refusal *refusal)
{
	*attnum = 0;
	if (name == NULL)
		return true;
	*attnum = SPI_fnumber(RelationGetDescr(rel), name);
	return *attnum > 0 ||
		refusal_set(refusal, ERRCODE_UNDEFINED_COLUMN,
			   psprintf("column \"%s\" of relation \"%s\" does not exist",
						encoding_quotable(name, strlen(name)), RelationGetRelationName(rel)),
			   psprintf("An argument of the trigger \"%s\" names it.", trigger->tgname), again);
}

/* The next name of a list, which it moves to the comma or end; NULL: it has no closing quote. */
static char *
next_name(const char **list)
{
	StringInfoData name;
	const char *c = *list;

	initStringInfo(&name);
	while (scanner_isspace(*c))
		c++;
	if (*c == '"')
	{
		for (c++; *c != '"' || c[1] == '"'; c++)
		{
			if (*c == '\0')
				return NULL;
			c += *c == '"';
			appendStringInfoChar(&name, *c);
		}
		for (c++; scanner_isspace(*c); c++)
			;
		if (*c != ',' && *c != '\0')
			return NULL;
	}
	else
	{
		for (; *c != ',' && *c != '\0'; c++)
			appendStringInfoChar(&name, *c);
		while (name.len > 0 && scanner_isspace(name.data[name.len - 1]))
			name.data[--name.len] = '\0';
	}
	*list = c;
	return name.data;
}

bool
options_columns(Relation rel, const Trigger *trigger, const Option *option, bool *listed, Refusal *refusal)
{
	const char *rest = option->value;

	memset(listed, 0, RelationGetDescr(rel)->natts * sizeof(bool));
	for (;; rest++)
	{
		char	   *name = next_name(&rest);
		int			attnum;

		if (name == NULL || name[0] == '\0')
			return refusal_set(refusal, ERRCODE_INVALID_PARAMETER_VALUE,
						  psprintf("invalid value \"%s\" for option \"%s\" of trigger \"%s\"",
								   encoding_quotable(option->value, strlen(option->value)), option->name, trigger->tgname),
						  "It is a list of columns' names, with commas between them.", again);
		if (!options_column(rel, trigger, name, &attnum, refusal))
			return false;
		if (listed[attnum - 1])
			return refusal_set(refusal, ERRCODE_INVALID_PARAMETER_VALUE,
						  psprintf("option \"%s\" of trigger \"%s\" has column \"%s\" twice", option->name,
								   trigger->tgname, name),
						  NULL, again);
		listed[attnum - 1] = true;
		if (*rest == '\0')
			return true;
	}
}
