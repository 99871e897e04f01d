/*-------------------------------------------------------------------------
 *
 * host.c
 *		Unit tests of what names of hosts become.
 *
 * rooms: http/host.c
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "unit.h"

#include <locale.h>

#include "http/ascii.h"
#include "http/host.h"

#define CHARACTER	"has a character that is not allowed in one"
#define EMPTY		"has an empty label"
#define LONG_LABEL	"has a label that is longer than 63 bytes"
#define TOO_LONG	"is longer than 253 bytes"
#define NO_UTF8		"is not valid UTF-8"
#define DIRECTIONS	"mixes directions of writing in a way that is not allowed"
#define JOINER		"has a joiner where none is allowed"
#define HYPHENS		"has hyphens where none are allowed"
#define NO_ALABEL	"has a label that begins with \"xn--\" and is none of that kind"

typedef struct Case
{
	const char *given;
	const char *expected;
} Case;

static char *
repeated(const char *what, int times, const char *behind)
{
	StringInfoData out;

	initStringInfo(&out);
	for (int i = 0; i < times; i++)
		appendStringInfoString(&out, what);
	appendStringInfoString(&out, behind);
	return out.data;
}

static void
becomes(const char *given, const char *expected)
{
	char		ascii[HOST_SIZE + 1] = "untouched";

	ascii[HOST_SIZE] = '!';
	is_text(host_to_ascii(given, strlen(given), ascii), NULL, psprintf("\"%.60s\" is a host", given));
	is_text(ascii, expected, psprintf("what \"%.60s\" becomes", given));
	is_int(ascii[HOST_SIZE], '!', "there is room for it");
}

static void
is_none(const char *given, int len, const char *why)
{
	char		ascii[HOST_SIZE];

	is_text(host_to_ascii(given, len, ascii), why, psprintf("\"%.60s\" is none", given));
}

static void
names(void)
{
	static const Case good[] = {
		/* ASCII is what it is */
		{"a", "a"}, {"Example.COM", "example.com"}, {"a-b.c_d.example.", "a-b.c_d.example."},
		{"1.2.3.4", "1.2.3.4"}, {"0x7F.1", "0x7f.1"}, {"-a-", "-a-"}, {"a--b", "a--b"}, {"_dmarc.x", "_dmarc.x"},
		{"XN--Fort-IPA.test", "xn--fort-ipa.test"}, {"xn--", "xn--"}, {"xn--a", "xn--a"}, {"xn--99999999", "xn--99999999"},
		{"ISTANBUL", "istanbul"},

		/* the rest is mapped */
		{"forêt.test", "xn--fort-ipa.test"}, {"FORÊT.Test", "xn--fort-ipa.test"},
		{"fore\xcc\x82t.test", "xn--fort-ipa.test"}, {"forêt.test.", "xn--fort-ipa.test."},
		{"пример.рф", "xn--e1afmkfd.xn--p1ai"}, {"ПРИМЕР.РФ", "xn--e1afmkfd.xn--p1ai"},
		{"日本.jp", "xn--wgv71a.jp"}, {"ファ・ル.jp", "xn--bck9etczc.jp"},
		{"bücher.example", "xn--bcher-kva.example"}, {"_sip.bücher.example", "_sip.xn--bcher-kva.example"},
		{"my_bücher.example", "xn--my_bcher-95a.example"},
		{"straße.de", "xn--strae-oqa.de"}, {"ς.gr", "xn--3xa.gr"}, {"σ.gr", "xn--4xa.gr"},
		{"क्‍ष.in", "xn--11b2ezcw70k.in"},
		{"אב.test", "xn--4dbc.test"}, {"K.test", "k.test"},

		/* dots of other scripts */
		{"例え。テスト", "xn--r8jz45g.xn--zckzah"}, {"例え．テスト", "xn--r8jz45g.xn--zckzah"},
		{"例え｡テスト", "xn--r8jz45g.xn--zckzah"}, {"example。com", "example.com"}, {"forêt.test。", "xn--fort-ipa.test."},

		/* other ways to write ASCII */
		{"ｌｏｃａｌｈｏｓｔ", "localhost"}, {"①②⑦.⓪.⓪.①", "127.0.0.1"}, {"１２７.１", "127.1"},
		{"exam\xc2\xadple.com", "example.com"}, {"exam\xe2\x80\x8bple.com", "example.com"},

		/* symbols, as browsers take them */
		{"💩.la", "xn--ls8h.la"}, {"i❤.ws", "xn--i-7iq.ws"}, {"☕.us", "xn--53h.us"}, {"☕️.us", "xn--53h.us"},
		{"xn--53h.ê", "xn--53h.xn--bda"},

		/* labels that are in ASCII already */
		{"XN--FORT-IPA.ê", "xn--fort-ipa.xn--bda"}
	};
	static const Case bad[] = {
		{"", EMPTY}, {".", EMPTY}, {"..", EMPTY}, {"a..b", EMPTY}, {".a", EMPTY}, {"a..", EMPTY},
		{"ê..b", EMPTY}, {".ê", EMPTY}, {"ê..", EMPTY}, {"。", EMPTY}, {"a。。b", EMPTY},
		{"\xc2\xad", EMPTY}, {"a.\xc2\xad.b", EMPTY},

		{"a b", CHARACTER}, {"a/b", CHARACTER}, {"a%2eb", CHARACTER}, {"u@a", CHARACTER}, {"*.a", CHARACTER},
		{"a:80", CHARACTER}, {"[::1]", CHARACTER}, {"a\n", CHARACTER}, {"a\x7f", CHARACTER},
		{"u@ê", CHARACTER}, {"for%C3%AAt.test", CHARACTER}, {"for%eat.ê", CHARACTER}, {"*.ê", CHARACTER},
		{"ê:80", CHARACTER}, {"ê?", CHARACTER}, {"ê\t", CHARACTER},

		/* that would become other parts of a URL */
		{"a℀.test", CHARACTER}, {"℀.test", CHARACTER}, {"a／b.test", CHARACTER}, {"a＠b.test", CHARACTER},
		{"a：80", CHARACTER}, {"a＃b", CHARACTER}, {"a？b", CHARACTER}, {"a％２ｅb", CHARACTER}, {"a　b", CHARACTER},
		{"ê／b.test", CHARACTER}, {"ê＠b.test", CHARACTER}, {"＊.test", CHARACTER}, {"⒈ê.test", CHARACTER},

		{"\xcc\x82.test", CHARACTER}, {"\xe2\x80\xae.test", CHARACTER}, {"\xf3\xa0\x81\x81.test", CHARACTER},
		{"אa.test", DIRECTIONS}, {"0א.test", DIRECTIONS}, {"١.ê.test", DIRECTIONS},
		{"ab\xe2\x80\x8d" "c.test", JOINER}, {"ab\xe2\x80\x8c" "c.test", JOINER},
		{"-ê.test", HYPHENS}, {"ê-.test", HYPHENS}, {"rê--x.test", HYPHENS},
		{"xn--ê.test", NO_ALABEL}, {"XN--Ê.test", NO_ALABEL},

		/* what transitional mapping would make another host of */
		{"fuß💩.la", CHARACTER}, {"FUẞ💩.la", CHARACTER}, {"ς💩.gr", CHARACTER}, {"👩‍❤️‍👩.ws", CHARACTER}, {"a\xe2\x80\x8c💩.la", CHARACTER},

		{"א💩a.test", CHARACTER}, {"א💩.test", CHARACTER}, {"💩.א", CHARACTER}, {"ﻼ💩.test", CHARACTER}, {"𐠀💩.test", CHARACTER}, {"𞤀💩.test", CHARACTER}, {"ࢠ💩.test", CHARACTER},

		{"for\xeat.test", NO_UTF8}, {"\xc3(.test", CHARACTER}, {"\xc3", NO_UTF8}, {"\xff\xfe", NO_UTF8},
		{"\xed\xa0\x80.test", NO_UTF8}, {"\xf4\x90\x80\x80.test", NO_UTF8}, {"\xc0\xaf.test", NO_UTF8}
	};

	for (int i = 0; i < lengthof(good); i++)
		becomes(good[i].given, good[i].expected);
	for (int i = 0; i < lengthof(bad); i++)
		is_none(bad[i].given, strlen(bad[i].given), bad[i].expected);
	is_none("a\0b", 3, CHARACTER);
	is_none("ê\0b", 4, CHARACTER);
	is_none("ê.test", 1, NO_UTF8);
}

static void
lengths(void)
{
	char	   *label = repeated("x", 63, "");
	char	   *longest = psprintf("%s.%s.%s.%s", label, label, label, repeated("y", 61, ""));
	char	   *idn;

	becomes(label, label);
	is_none(repeated("x", 64, ""), 64, LONG_LABEL);
	is_none(repeated("x", 64, ".test."), 70, LONG_LABEL);
	becomes(longest, longest);
	becomes(psprintf("%s.", longest), psprintf("%s.", longest));
	is_none(psprintf("%sz", longest), 254, TOO_LONG);
	is_none(psprintf("%sz.", longest), 255, TOO_LONG);
	is_none(repeated("x", 100000, ""), 100000, TOO_LONG);

	/* in letters that take more room in ASCII than as they are, and less */
	idn = repeated("ê", 100, ".test");
	is_none(idn, strlen(idn), LONG_LABEL);
	idn = repeated("ê.", 40, "test");
	is_none(idn, strlen(idn), TOO_LONG);
	idn = repeated("日", 100000, "");
	is_none(idn, strlen(idn), TOO_LONG);
	becomes(repeated("a\xc2\xad", 63, ".ê"), psprintf("%s.xn--bda", repeated("a", 63, "")));
}

/* The same in any locale: t/063_encodings.pl has some that are less plain. */
static void
locales(void)
{
	ok(setlocale(LC_ALL, "C.UTF-8") != NULL, "a locale that knows UTF-8");
	becomes("forêt.test", "xn--fort-ipa.test");
	ok(setlocale(LC_ALL, "C") != NULL, "and one that does not");
	becomes("forêt.test", "xn--fort-ipa.test");
}

static void
letters(void)
{
	int			letter = 0;
	int			digit = 0;
	int			space = 0;

	for (int c = -128; c < 128; c++)
	{
		letter += ascii_is_letter(c);
		digit += ascii_is_digit(c);
		space += ascii_is_space(c);
		if (c < 0)
			letter += ascii_lower(c) != c;
	}
	is_int(letter, 52, "letters of ASCII");
	is_int(digit, 10, "its digits");
	is_int(space, 6, "its blanks");
	ok(ascii_same("", ""), "nothing is the same as nothing");
	ok(ascii_same("Location", "LOCATION"), "names are the same in any case");
	ok(!ascii_same("ab", "abc") && !ascii_same("abc", "ab"), "but not if they are longer");
	ok(!ascii_same("\xc9", "\xe9"), "and only in ASCII");
	ok(!ascii_same("@", "`") && !ascii_same("[", "{"), "and only letters");
	ok(ascii_begin_same("HTTP://x", "http://y", 7), "the same so far");
	ok(!ascii_begin_same("HTTP://x", "http://y", 8), "and no further");
	ok(!ascii_begin_same("ht", "http", 4) && !ascii_begin_same("http", "ht", 4), "not as far");
}

static void
tests(void)
{
	names();
	lengths();
	locales();
	letters();
}
