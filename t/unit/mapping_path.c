/*-------------------------------------------------------------------------
 *
 * mapping_path.c
 *		JSONPath as RudderStack's users write it, as PostgreSQL's: what becomes of it, where
 *		it is cut, and that what is broken stays within its bounds.
 *
 * rooms: transform/mapping_path.c
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "unit.h"

#include "lib/stringinfo.h"
#include "miscadmin.h"

#include "transform/mapping_path.h"

/* The pieces, with bars between them. */
static const char *
all_pieces(const char *from, int most_cuts, bool with_list)
{
	StringInfoData joined;
	PathPieces	path;

	if (!mapping_path_pieces(from, most_cuts, with_list, &path))
		return "none";
	initStringInfo(&joined);
	for (int i = 0; i < path.count; i++)
		appendStringInfo(&joined, "%s%s", i > 0 ? "|" : "", path.pieces[i]);
	return joined.data;
}

static const char *
pieces(const char *from, int most_cuts)
{
	return all_pieces(from, most_cuts, false);
}

static void
forms(void)
{
	static const char *const cases[][2] = {
		{"$", "$"},
		{" $.a", "$.a"},
		{"$.a.b[0]", "$.a.b[0]"},
		{"strict $.a", "strict $.a"},
		{"lax  $.a[*].b", "lax $.a[*].b"},
		{"$['a b'].c", "$.\"a b\".c"},
		{"$[\"a\"]['b']", "$.\"a\".\"b\""},
		{"$[ 'a' ]", "$.\"a\""},
		{"$['it\\'s \"x\"']", "$.\"it's \\\"x\\\"\""},
		{"$.a['x']['y'][0]", "$.a.\"x\".\"y\"[0]"},
		{"$..a", "strict $.**.a"},
		{"$..*", "strict $.**.*"},
		{"$..['a b']", "strict $.**.\"a b\""},
		{"lax $..a", "lax $.**.a"},
		{"$.**.a", "$.**.a"},
		{"$.a[-1]", "$.a[last]"},
		{"$.a[-3]", "$.a[last - 2]"},
		{"$.a[0:2]", "$.a[0 to 1]"},
		{"$.a[1:]", "$.a[1 to last]"},
		{"$.a[:2]", "$.a[0 to 1]"},
		{"$.a[:]", "$.a[0 to last]"},
		{"$.a[-2:]", "$.a[last - 1 to last]"},
		{"$.a[:-1]", "$.a[0 to last - 1]"},
		{"$.a[ 1 : 3 ]", "$.a[1 to 2]"},
		{"$.a[0:1:2]", "$.a[0:1:2]"},	/* steps are none, and an error of jsonpath */
		{"$.a[0,2]", "$.a[0,2]"},
		{"$.a[1 to 2]", "$.a[1 to 2]"},
		{"$.a[?(@.b>1)]", "$.a[*] ? (@.b>1)"},
		{"$.a[?(@.b)]", "$.a[*] ? (exists(@.b))"},
		{"$.a[?(@['b c'])]", "$.a[*] ? (exists(@.\"b c\"))"},
		{"$.a[?(@.b === 'x' && @.c !== \"y\")].d", "$.a[*] ? (@.b == \"x\" && @.c != \"y\").d"},
		{"$.a[?(@.b == ')]')]", "$.a[*] ? (@.b == \")]\")"},
		{"$.a[?(@.b[?(@.c > 1)])]", "$.a[*] ? (@.b[*] ? (@.c > 1))"},
		{"$.a.length()", "$.a.size()"},
		{"$.a ? (@ == '..[*]')", "$.a ? (@ == \"..[*]\")"},
		{"$.\"a[*].b\"", "$.\"a[*].b\""},
		{"$a", "none"},
		{"$1", "none"},
		{"$_a", "none"},
		{"a.$", "none"},
		{"", "none"},
		{"strict", "none"}
	};

	for (int i = 0; i < lengthof(cases); i++)
		is_text(pieces(cases[i][0], 0), cases[i][1], psprintf("%s", cases[i][0]));
}

static void
cuts(void)
{
	is_text(pieces("$.a[*].b", 1), "$.a[*]|$.b", "cut behind [*]");
	is_text(pieces("$.a[*].b", 0), "$.a[*].b", "or not, if there is nothing to cut for");
	is_text(pieces("$.a[*]", 1), "$.a[*]|$", "nothing is left");
	is_text(pieces("$.a[*].b[*].c[*].d", 2), "$.a[*]|$.b[*]|$.c[*].d", "as often as it is wanted");
	is_text(pieces("$.a.b", 3), "$.a.b", "or as it can be");
	is_text(pieces("strict $.a[*].b", 1), "strict $.a[*]|strict $.b", "each of the same mode");
	is_text(pieces("$..a[*].b", 1), "strict $.**.a[*]|$.b", "strict where it has to be");
	is_text(pieces("$.a[*] ? (@.b[*] > 1).c", 2), "$.a[*] ? (@.b[*] > 1)|$.c", "conditions belong to it");
	is_text(pieces("$.a[*]?(@.b > 1) ?(@.c > 1) .d", 1), "$.a[*] ? (@.b > 1) ? (@.c > 1)|$ .d", "all of them");
	is_text(pieces("$.a[?(@.b)].c", 1), "$.a[*] ? (exists(@.b))|$.c", "in either form");
	is_text(pieces("$.\"[*]\"[*].b", 1), "$.\"[*]\"[*]|$.b", "not within a name");
}

/* What ends in a list is cut before that, whatever is in the way of it elsewhere. */
static void
lists(void)
{
	static const char *const cases[][2] = {
		{"$.a[*]", "$.a|$[*]"},
		{" $.a[*] ", "$.a|$[*]"},
		{"$[*]", "$|$[*]"},
		{"$.a[*].b", "$.a[*].b"},
		{"$.a[*].b[*]", "$.a[*].b|$[*]"},
		{"$.a.*", "$.a[*]|$.*"},
		{"strict $.a.*", "strict $.a|strict $.*"},
		{"$.a.*.b", "$.a.*.b"},
		{"$..b", "$|strict $.**.b"},
		{"$.a..b", "$.a|strict $.**.b"},
		{"$.a..['b c']", "$.a|strict $.**.\"b c\""},
		{"$.a..b.c", "strict $.a.**.b.c"},
		{"$.a[*].string()", "$.a|$[*]"},
		{"$.a.b.string() ", "$.a.b"},
		{"$.a ? (@ > 1).string()", "$.a ? (@ > 1)"},
		{"$.a ? (@.b == \"x\").b[*]", "$.a ? (@.b == \"x\").b|$[*]"},
		{"$.a ? (@ > 1) + 1", "$.a ? (@ > 1) + 1"},
		{"$.a + $.b.string()", "$.a + $.b.string()"},
		{"$.string().a", "$.string().a"},
		{"$..a[*]", "$|strict $.**.a"},
		{"$.a[*][*]", "$.a|$[*]"},
		{"$.a[1:][*]", "$.a|$[1 to last]"},
		{"$.a[*].b[*][*]", "$.a[*].b|$[*]"},
		{"$..a.b[*]", "strict $.**.a.b|$[*]"},
		{"$..*", "strict $.**.*"},
		{"$.a[1:]", "$.a|$[1 to last]"},
		{"$.a[:-1]", "$.a|$[0 to last - 1]"},
		{"$.a[0,1]", "$.a|$[0,1]"},
		{"$.a[0 to 1]", "$.a|$[0 to 1]"},
		{"$.a[0]", "$.a[0]"},
		{"$.a[-1]", "$.a[last]"},
		{"$.a[?(@.b > 1)]", "$.a[*] ? (@.b > 1)"},
		{"$.a[*] ? (@.b[*] > 1)", "$.a[*] ? (@.b[*] > 1)"},
		{"$.a.\"b[*]\"", "$.a.\"b[*]\""},
		{"$.a * $.b[*]", "$.a * $.b[*]"},
		{"$.a - $.b.*", "$.a - $.b.*"},
		{"$.a[$.b[*]]", "$.a[$.b[*]]"},
		{"$.a[*].size()", "$.a[*].size()"}
	};

	for (int i = 0; i < lengthof(cases); i++)
		is_text(all_pieces(cases[i][0], 0, true), cases[i][1], psprintf("%s", cases[i][0]));
	is_text(all_pieces("$.a[*].b[*]", 1, true), "$.a[*]|$.b|$[*]", "cut for elements, and before a list");
	is_text(all_pieces("$.a[*]", 1, true), "$.a[*]|$", "what goes to elements is no list");
	is_text(all_pieces("$.a[*].b[*]", 2, true), "$.a[*]|$.b[*]|$", "nor at the second time");
	is_text(all_pieces("$.a[*][*]", 1, true), "$.a[*]|$|$[*]", "one of which is cut for elements");
	is_text(all_pieces("$..a[*]", 1, true), "strict $.**.a[*]|$", "or all");
	is_text(all_pieces("$.a[*].*", 1, true), "$.a[*]|$[*]|$.*", "but members of an element are");
}

/* Whatever it is, reading ends where the text does. */
static void
broken_ones(void)
{
	static const char *const broken[] = {
		"$[", "$['", "$['a", "$['a'", "$[\"\\", "$[?", "$[?(", "$[?(@", "$[?(@.a", "$[?(@.a)", "$[?(')", "$.a[-", "$.a[1:", "$.a[:",
		"$..", "$...", "$.a[*", "$.a[*] ?", "$.a[*] ? (", "$'", "$\"\\", "$.a[99999999999]", "$.a[-0]", "$.a[:-", "$)", "$]]]", "$.length("
	};
	StringInfoData deep;

	for (int i = 0; i < lengthof(broken); i++)
	{
		char	   *exact = malloc(strlen(broken[i]) + 1);	/* so that a sanitizer sees its end */

		strcpy(exact, broken[i]);
		ok(pieces(exact, 2)[0] == '$' || pieces(exact, 2)[0] == 's', psprintf("%s is no fault", broken[i]));
		free(exact);
	}
	initStringInfo(&deep);
	appendStringInfoChar(&deep, '$');
	for (int i = 0; i < 500; i++)
		appendStringInfoString(&deep, "[?(@.a");
	ok(pieces(deep.data, 0)[0] == '$', "nor is one within the other without an end");
	for (int i = 0; i < 500; i++)
		appendStringInfoString(&deep, ")]");
	ok(strlen(pieces(deep.data, 0)) > 2000, "and with one");
}

static void
tests(void)
{
	forms();
	cuts();
	lists();
	broken_ones();
}
