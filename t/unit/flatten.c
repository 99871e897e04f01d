/*-------------------------------------------------------------------------
 *
 * flatten.c
 *		Unit tests of nested values as params, and of lists of names and values.
 *
 * rooms: transform/flatten.c transform/jsonwrite.c transform/jsontext.c base/encoding.c
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "unit.h"

#include "lib/stringinfo.h"

#include "transform/flatten.h"
#include "transform/json.h"

static void
root_of(const char *json, JsonbValue *root)
{
	Jsonb	   *value = jsonb(json);

	if (JB_ROOT_IS_SCALAR(value))
	{
		JsonbIterator *it = JsonbIteratorInit(&value->root);

		(void) JsonbIteratorNext(&it, root, true);
		(void) JsonbIteratorNext(&it, root, true);
	}
	else
		json_set_container(root, &value->root, VARSIZE(value) - VARHDRSZ);
}

/* "name=value" of each, with blanks between them. */
static char *
shown(const NamedValues *list)
{
	StringInfoData out;

	initStringInfo(&out);
	for (int i = 0; i < list->count; i++)
	{
		const NamedValue *item = &list->items[i];

		appendStringInfo(&out, "%s%.*s=", i > 0 ? " " : "", item->name_len, item->name);
		json_append(&out, &item->value, NUMBERS_EXACT, JSON_MOST_TEXT);
	}
	return out.data;
}

static char *
flattened(const char *json)
{
	NamedValues list = {0};
	JsonbValue	root;

	root_of(json, &root);
	flatten_value(&root, &list);
	return shown(&list);
}

static void
shapes(void)
{
	static const struct
	{
		const char *given;
		const char *expected;
	}			known[] = {
		{"{\"a\": [1, {\"b\": null}], \"e\": {}}", "e={} a[0]=1 a[1].b=null"},
		{"{\"a\": 1, \"b\": \"x\", \"c\": true, \"d\": null, \"e\": 1.50}", "a=1 b=\"x\" c=true d=null e=1.50"},
		{"{\"a\": {\"b\": {\"c\": {\"d\": 1}}}}", "a.b.c.d=1"},
		{"{\"a\": {\"b\": {}, \"c\": []}}", "a.b={} a.c=[]"},
		{"{\"a\": [[1, [2]], [], {}]}", "a[1]=[] a[2]={} a[0][0]=1 a[0][1][0]=2"},
		{"{\"a\": [{\"b\": 1}, {\"b\": 2}]}", "a[0].b=1 a[1].b=2"},

		/* at the top */
		{"{}", ""}, {"[]", "=[]"}, {"[1, 2]", "[0]=1 [1]=2"}, {"[[]]", "[0]=[]"}, {"[{}]", "[0]={}"},
		{"[{\"a\": 1}]", "[0].a=1"}, {"5", "=5"}, {"\"x\"", "=\"x\""}, {"null", "=null"},

		/* keys that are empty: a path that is empty is none yet */
		{"{\"\": 1}", "=1"}, {"{\"\": {}}", ""}, {"{\"\": []}", "=[]"}, {"{\"\": {\"a\": 1}}", "a=1"},
		{"{\"\": {\"\": {\"\": 1}}}", "=1"}, {"{\"\": [1]}", "[0]=1"}, {"{\"a\": {\"\": 1}}", "a.=1"},
		{"{\"a\": {\"\": {\"\": 1}}}", "a..=1"}, {"{\"a\": {\"\": {}}}", "a.={}"},

		/* nothing is escaped: of those with the same path, the last one stays */
		{"{\"a.b\": 1, \"a\": {\"b\": 2}}", "a.b=1"},
		{"{\"a[0]\": 1, \"a\": [2]}", "a[0]=1"},
		{"{\"a\": {\"b.c\": 1, \"b\": {\"c\": 2}}}", "a.b.c=1"},
		{"{\"a\": {\"b.c\": 1}, \"a.b\": {\"c\": 2}, \"z\": 3, \"a.b.c\": 4}", "z=3 a.b.c=4"},
		{"{\"\": {\"a\": 1}, \"a\": 2}", "a=2"},

		/* names as jsonb has keys: short ones first, then by their bytes */
		{"{\"bb\": 1, \"a\": {\"c\": 2}, \"c\": 3, \"B\": 4}", "B=4 c=3 bb=1 a.c=2"},
		{"{\"é\": {\"ü\": 1}, \"zz\": 2}", "zz=2 é.ü=1"}
	};

	for (int i = 0; i < lengthof(known); i++)
		is_text(flattened(known[i].given), known[i].expected, known[i].given);
}

static void
large_ones(void)
{
	StringInfoData json;
	StringInfoData expected;

	/* deep */
	initStringInfo(&json);
	initStringInfo(&expected);
	for (int i = 0; i < 500; i++)
	{
		appendStringInfoString(&json, "{\"k\": [");
		appendStringInfoString(&expected, i > 0 ? ".k[0]" : "k[0]");
	}
	appendStringInfoString(&json, "7");
	appendStringInfoString(&expected, "=7");
	for (int i = 0; i < 500; i++)
		appendStringInfoString(&json, "]}");
	is_text(flattened(json.data), expected.data, "a deep one");

	/* wide */
	resetStringInfo(&json);
	resetStringInfo(&expected);
	for (int i = 0; i < 12000; i++)
	{
		appendStringInfo(&json, "%s%d", i > 0 ? ", " : "{\"l\": [", i);
		appendStringInfo(&expected, "%sl[%d]=%d", i > 0 ? " " : "", i, i);
	}
	appendStringInfoString(&json, "]}");
	is_text(flattened(json.data), expected.data, "a wide one");
}

static void
limits(void)
{
	static const char json[] = "{\"a\": 1, \"bc\": {\"d\": [2, {}]}}";	/* a, bc.d[0], bc.d[1] */
	Size		all = 3 * sizeof(NamedValue) + 1 + 7 + 7;
	JsonbValue	root;
	NamedValues list = {.limit = all};
	JsonbValue	value = {.type = jbvNull};

	root_of(json, &root);
	flatten_value(&root, &list);
	is_int(list.count, 3, "what fits");
	is_int(list.bytes, all, "takes so much");
	throws(named_values_add(&list, "", 0, &value), ERRCODE_PROGRAM_LIMIT_EXCEEDED, "no more of them");
	is_int(list.count, 3, "nothing was added");

	for (Size limit = 1; limit < all; limit++)
	{
		NamedValues less = {.limit = limit};

		throws(flatten_value(&root, &less), ERRCODE_PROGRAM_LIMIT_EXCEEDED, "what does not fit");
	}

	/* a name that is long counts as it is */
	list = (NamedValues) {.limit = sizeof(NamedValue) + 99};
	throws(named_values_add(&list, "x", 100, &value), ERRCODE_PROGRAM_LIMIT_EXCEEDED, "a long name");
}

static void
settling(void)
{
	static const char *const names[] = {"b", "aa", "a", "b", "", "aa", "c", "b", ""};
	NamedValues list = {0};
	JsonbValue	value;

	for (int i = 0; i < lengthof(names); i++)
	{
		json_set_string(&value, psprintf("%d", i), 1);
		named_values_add(&list, names[i], strlen(names[i]), &value);
	}
	named_values_settle(&list);
	is_text(shown(&list), "=\"8\" a=\"2\" b=\"7\" c=\"6\" aa=\"5\"", "in order, and the last of each name");
	named_values_settle(&list);
	is_int(list.count, 5, "once more");

	/* many of one name */
	list = (NamedValues) {0};
	for (int i = 0; i < 1000; i++)
	{
		json_set_string(&value, psprintf("%03d", i), 3);
		named_values_add(&list, i % 2 ? "x" : "y", 1, &value);
	}
	named_values_settle(&list);
	is_text(shown(&list), "x=\"999\" y=\"998\"", "the last of many");

	/* already in order, but for the last two */
	list = (NamedValues) {0};
	named_values_add(&list, "a", 1, &value);
	named_values_add(&list, "b", 1, &value);
	json_set_string(&value, "z", 1);
	named_values_add(&list, "b", 1, &value);
	named_values_settle(&list);
	is_text(shown(&list), "a=\"999\" b=\"z\"", "two at the end");

	list = (NamedValues) {0};
	named_values_settle(&list);
	is_int(list.count, 0, "none");
}

static void
tests(void)
{
	shapes();
	large_ones();
	limits();
	settling();
}
