/*-------------------------------------------------------------------------
 *
 * url.c
 *		Unit tests of which URLs can be sent to, and of the URL with its query.
 *
 * rooms: transform/url.c transform/url_shown.c transform/flatten.c transform/jsonwrite.c transform/jsontext.c base/encoding.c http/host.c
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "unit.h"

#include "transform/flatten.h"
#include "transform/json.h"
#include "transform/url.h"
#include "transform/url_shown.h"

#define NO_SCHEME	"the URL does not begin with http:// or https://"
#define CONTROL		"the URL has a control character"
#define SPACE		"the URL has a space in it"
#define NO_HOST		"the URL has no host"
#define BAD_HOST	"the URL's host has a character that is not allowed in one"
#define BAD_ADDRESS	"the URL's IPv6 address is not complete"
#define BAD_PORT	"the URL's port is not a number from 1 to 65535"
#define USERINFO	"the URL has a user name or password in it; use a header instead"
#define EMPTY_LABEL	"the URL's host has an empty label"
#define NO_UTF8		"the URL's host is not valid UTF-8"
#define TOO_LONG	"the URL with its params would be longer than 65536 bytes"

typedef struct Case
{
	const char *given;
	const char *expected;
} Case;

static char *
repeated(const char *before, char c, int times)
{
	StringInfoData out;

	initStringInfo(&out);
	appendStringInfoString(&out, before);
	for (int i = 0; i < times; i++)
		appendStringInfoChar(&out, c);
	return out.data;
}

/* As the name of a test. */
static char *
printable(const char *text)
{
	StringInfoData out;

	initStringInfo(&out);
	for (; *text != '\0'; text++)
	{
		if ((unsigned char) *text < ' ' || *text == 0x7f)
			appendStringInfo(&out, "\\x%02x", *text);
		else
			appendStringInfoChar(&out, *text);
	}
	return out.data;
}

/* ---------------------------------------------------------------------
 * What may be configured
 * ---------------------------------------------------------------------
 */

static const char *
problem_of(const char *given)
{
	return url_problem(&given);
}

static void
problems(void)
{
	static const Case urls[] = {
		{"http://a", NULL}, {"https://a/", NULL}, {"hTTpS://A", NULL}, {"HTTP://A:80", NULL},
		{"https://a:1", NULL}, {"https://a:65535/x?y#z", NULL}, {"https://a:00443", NULL},
		{"https://[::1]", NULL}, {"https://[::]", NULL}, {"https://[::1]:8080/", NULL},
		{"https://[::ffff:1.2.3.4]?x", NULL}, {"https://[FE80::aBc]", NULL},
		{"https://a-b.c_d.example.", NULL}, {"https://1.2.3.4", NULL}, {"https://пример.рф/", NULL},
		{"https://a?q", NULL}, {"https://a#f", NULL}, {"https://a:443#x", NULL}, {"https://a?b#c", NULL},
		{"https://a/%zz%", NULL}, {"https://a/b@c", NULL}, {"https://a?b@c", NULL}, {"https://a#b@c", NULL},
		{"https://a?b/c", NULL}, {"https://a#b?c", NULL}, {"https://a/b:c", NULL}, {"https://a/\\", NULL},

		{"", NO_SCHEME}, {"a", NO_SCHEME}, {"//a", NO_SCHEME}, {"ftp://a", NO_SCHEME}, {"http:/a", NO_SCHEME},
		{"http//a", NO_SCHEME}, {"https:a", NO_SCHEME}, {"httpss://a", NO_SCHEME}, {"http:", NO_SCHEME},
		{"javascript:http://a", NO_SCHEME}, {"http", NO_SCHEME},

		{"http://", NO_HOST}, {"https://", NO_HOST}, {"https:///x", NO_HOST}, {"https://?x", NO_HOST},
		{"https://#x", NO_HOST}, {"https://:80", NO_HOST}, {"https://:80/", NO_HOST},

		{"https://a:", BAD_PORT}, {"https://a:/", BAD_PORT}, {"https://a:0", BAD_PORT}, {"https://a:65536", BAD_PORT},
		{"https://a:4294967376", BAD_PORT}, {"https://a:99999999999999999999", BAD_PORT},
		{"https://a:1.5", BAD_PORT}, {"https://a:8+1", BAD_PORT}, {"https://a:-1", BAD_PORT}, {"https://a:+1", BAD_PORT}, {"https://a:8x", BAD_PORT},
		{"https://a:1:2", BAD_PORT}, {"https://a::1", BAD_PORT}, {"https://[::1]x", BAD_PORT},
		{"https://[::1]8080", BAD_PORT}, {"https://[::1]:", BAD_PORT}, {"https://::1", BAD_PORT},

		{"https://[::1", BAD_ADDRESS}, {"https://[", BAD_ADDRESS}, {"https://[]", BAD_ADDRESS},
		{"https://[:]", BAD_ADDRESS}, {"https://[::1/]", BAD_ADDRESS},
		{"https://[::1%25eth0]", BAD_HOST}, {"https://[v1.x]", BAD_HOST}, {"https://[::g]", BAD_HOST},
		{"https://[[::1]", BAD_HOST}, {"https://[::1_]", BAD_HOST},

		{"https://a%2eb", BAD_HOST}, {"https://a\\b", BAD_HOST}, {"https://a,b", BAD_HOST}, {"https://a;b", BAD_HOST},
		{"https://a]", BAD_HOST}, {"https://a[::1]", BAD_PORT}, {"https://*.a", BAD_HOST}, {"https://a$", BAD_HOST},
		{"https://a..b", EMPTY_LABEL}, {"https://.a", EMPTY_LABEL}, {"https://.", EMPTY_LABEL}, {"https://é..", EMPTY_LABEL},
		{"https://é%2eb", BAD_HOST}, {"https://a℀b", BAD_HOST}, {"https://אa", "the URL's host mixes directions of writing in a way that is not allowed"},
		{"https://\xff", NO_UTF8}, {"https://u@é", USERINFO}, {"https://é:x", BAD_PORT}, {"https://é:80:", BAD_PORT},
		{"https://<a>", BAD_HOST}, {"https://\"a\"", BAD_HOST}, {"https://a|b", BAD_HOST},

		{"https://u@a", USERINFO}, {"https://u:p@a", USERINFO}, {"https://@a", USERINFO}, {"https://a:80@b", USERINFO},
		{"https://[::1]@b", USERINFO}, {"https://a\\@b", USERINFO},

		{" https://a", SPACE}, {"https://a ", SPACE}, {"https://a/b c", SPACE}, {"https://a#b c", SPACE},
		{"https://a\tb", CONTROL}, {"https://a/\n", CONTROL}, {"https://a/\x7f", CONTROL}, {"https://a#\x01", CONTROL},
		{"\x1fhttps://a", CONTROL}, {"https://a\r", CONTROL}
	};
	static const Case hosts[] = {
		{"a", NULL}, {"a.example:80", NULL}, {"[::1]", NULL}, {"[::1]:65535", NULL}, {"пример", NULL},
		{"", NO_HOST}, {":80", NO_HOST}, {"a:", BAD_PORT}, {"a:65536", BAD_PORT}, {"a:b", BAD_PORT},
		{"http://a", BAD_PORT}, {"a/b", BAD_HOST}, {"a b", BAD_HOST}, {"a\n", BAD_HOST}, {"*.a", BAD_HOST},
		{"a?b", BAD_HOST}, {"a#b", BAD_HOST}, {"u@a", USERINFO}, {"[::1", BAD_ADDRESS}, {"[::x]", BAD_HOST}
	};

	for (int i = 0; i < lengthof(urls); i++)
		is_text(problem_of(urls[i].given), urls[i].expected, psprintf("URL \"%s\"", printable(urls[i].given)));
	for (int i = 0; i < lengthof(hosts); i++)
	{
		const char *host = hosts[i].given;

		is_text(url_host_problem(&host), hosts[i].expected, psprintf("host \"%s\"", printable(hosts[i].given)));
	}

	is_text(problem_of(repeated("https://a/", 'x', 8182)), NULL, "8192 bytes");
	is_text(problem_of(repeated("https://a/", 'x', 8183)), "the URL is longer than 8192 bytes", "8193 bytes");
	is_text(problem_of(repeated("https://é/", 'x', 8174)), NULL, "8192 bytes in ASCII");
	is_text(problem_of(repeated("https://é/", 'x', 8181)), "the URL is longer than 8192 bytes", "8193 bytes in ASCII");
	is_text(problem_of(repeated("https://a:", '9', 8000)), BAD_PORT, "a very long port");
	is_text(problem_of(repeated("https://a:", '0', 8000)), BAD_PORT, "one of zeroes");
}

/* ---------------------------------------------------------------------
 * Hosts become ASCII
 * ---------------------------------------------------------------------
 */

static void
settled(void)
{
	static const Case urls[] = {
		{"https://Forêt.Test:8443/É?ê=è#ë", "https://xn--fort-ipa.test:8443/É?ê=è#ë"},
		{"HTTP://例え。テスト", "HTTP://xn--r8jz45g.xn--zckzah"},
		{"http://１２７.０.０.１:80/", "http://127.0.0.1:80/"},
		{"https://A.Example:0443/É", NULL}, {"https://[::1]/é", NULL}
	};
	static const Case hosts[] = {
		{"forêt.test", "xn--fort-ipa.test"}, {"FORÊT:8443", "xn--fort-ipa:8443"}, {"A:1", NULL}, {"[::1]:1", NULL}
	};
	static const Case lists[] = {
		{"", NULL}, {"*", NULL}, {"a,b c\t.d.", NULL}, {"!%/nonsense", NULL},
		{"10.0.0.0/8, .Forêt.Test\tA.b,, [::1] *,forêt.", "10.0.0.0/8, .xn--fort-ipa.test\tA.b,, [::1] *,xn--fort-ipa."},
		{"é", "xn--9ca"}
	};
	const char *text;
	JsonbValue	endpoint;

	for (int i = 0; i < lengthof(urls); i++)
	{
		const char *expected = urls[i].expected ? urls[i].expected : urls[i].given;
		char	   *unended = psprintf("%s.é", urls[i].given);

		text = urls[i].given;
		is_text(url_problem(&text), NULL, psprintf("URL \"%s\"", urls[i].given));
		is_text(text, expected, "is that");
		ok(urls[i].expected != NULL || text == urls[i].given, "in a string of its own only if it is another");
		json_set_string(&endpoint, unended, strlen(urls[i].given));
		is_text(url_endpoint_problem(&endpoint), NULL, "as an endpoint");
		is_text(pnstrdup(endpoint.val.string.val, endpoint.val.string.len), expected, "is that, too");
	}
	for (int i = 0; i < lengthof(hosts); i++)
	{
		text = hosts[i].given;
		is_text(url_host_problem(&text), NULL, psprintf("host \"%s\"", hosts[i].given));
		is_text(text, hosts[i].expected ? hosts[i].expected : hosts[i].given, "is that");
	}
	for (int i = 0; i < lengthof(lists); i++)
	{
		text = lists[i].given;
		is_text(url_host_list_problem(&text), NULL, psprintf("list \"%s\"", printable(lists[i].given)));
		is_text(text, lists[i].expected ? lists[i].expected : lists[i].given, "is that");
	}
	text = "a, אa, b";
	is_text(url_host_list_problem(&text), "the host \"אa\" mixes directions of writing in a way that is not allowed",
			"a list with a bad one");
	json_set_string(&endpoint, "https://é../", strlen("https://é../"));
	is_text(url_endpoint_problem(&endpoint), EMPTY_LABEL, "an endpoint with a bad one");
	is_int(endpoint.val.string.len, strlen("https://é../"), "stays as it is");
}

/* What the bytes of a database in another encoding are. */
static void
encodings(void)
{
	const char *text = "https://for\xeat.test/\xe9";

	SetDatabaseEncoding(PG_SQL_ASCII);
	is_text(url_problem(&text), NO_UTF8, "no UTF-8 in a database without an encoding");
	text = "https://a/\xe9";
	is_text(url_problem(&text), "the URL is not valid UTF-8", "nor in a path");
	text = "https://forêt.test/é";
	is_text(url_problem(&text), NULL, "UTF-8 there");
	is_text(text, "https://xn--fort-ipa.test/é", "is taken for that");
	text = "for\xeat";
	is_text(url_host_list_problem(&text), "the host \"for\xeat\" is not valid UTF-8", "in a list");
	SetDatabaseEncoding(PG_UTF8);
}

/* ---------------------------------------------------------------------
 * Where an event may lead
 * ---------------------------------------------------------------------
 */

static const char *
leads_to(const char *where)
{
	return psprintf("the event's URL leads to %s, which is neither the destination's own host nor in its allowed_hosts",
					where);
}

static void
origins(void)
{
#define DOWNGRADE "the event's URL is not https, and the destination's is"
	static const struct
	{
		const char *endpoint;
		const char *url;
		const char *expected;	/* "=...": leads there */
		bool		others;		/* may be sent to */
	}			known[] = {
		{"https://a/x?y=z#f", "https://a/q", NULL},
		{"https://A/", "https://a", NULL},
		{"HTTPS://a", "https://a", NULL},
		{"https://a:443", "https://a", NULL},
		{"https://a", "https://a:443", NULL},
		{"http://a:80/", "http://a", NULL},
		{"https://[::1]:8443", "https://[::1]:8443/x", NULL},
		{"https://a:444", "https://a", "=a:444"},
		{"https://a", "https://a:444", "=a:443"},
		{"https://a.", "https://a", "=a.:443"},
		{"https://aa", "https://a", "=aa:443"},
		{"https://a", "https://aa", "=a:443"},
		{"https://x.a", "https://a", "=x.a:443"},
		{"https://[::1]", "https://[0::1]", "=[::1]:443"},
		{"http://a", "https://a", DOWNGRADE},
		{"http://a:443", "https://a", DOWNGRADE},
		{"http://b", "https://a", DOWNGRADE},
		{"https://a", "http://a", "=a:443"},
		{"https://a:80", "http://a", "=a:80"},
		{"https://a#@b", "https://a", NULL},
		{"https://b#@a", "https://a", "=b:443"},
		{"https://b?@a", "https://a", "=b:443"},
		{"https://a@b", "https://a", USERINFO},
		{"https://b/@a", "https://a", "=b:443"},
		{"https://a:80:443", "https://a", BAD_PORT},
		{"nonsense", "https://a", NO_SCHEME},
		{"https://a", "nonsense", NO_SCHEME},
		{"https://a/\n", "https://a", CONTROL},
		{"https://XN--9ca", "https://xn--9ca", NULL},
		{"https://é", "https://xn--9ca", BAD_HOST},
		{"https://xn--9ca", "https://é", BAD_HOST},

		/* allowed hosts */
		{"https://b", "https://a", NULL, true},
		{"https://B/x", "https://a", NULL, true},
		{"http://b", "http://a", NULL, true},
		{"https://c:8443", "https://a", NULL, true},
		{"https://c", "https://a", "=c:443", true},
		{"https://b:8443", "https://a", "=b:8443", true},
		{"https://[::2]:1", "https://a", NULL, true},
		{"https://[::2]", "https://a", "=[::2]:443", true},
		{"https://d", "https://a", "=d:443", true},
		{"http://b", "https://a", DOWNGRADE, true}
	};
	char	   *allowed[] = {"d:x", "b", "c:8443", "[::2]:1"};

	for (int i = 0; i < lengthof(known); i++)
	{
		const char *expected = known[i].expected;

		is_text(url_origin_problem(known[i].endpoint, strlen(known[i].endpoint), known[i].url,
								   allowed, known[i].others ? lengthof(allowed) : 0),
				expected && expected[0] == '=' ? leads_to(expected + 1) : expected,
				psprintf("from %s to %s%s", known[i].url, printable(known[i].endpoint),
						 known[i].others ? ", with others" : ""));
	}
	is_text(url_origin_problem("https://ab", 9, "https://a", NULL, 0), NULL, "what is behind its length does not count");
	is_text(url_origin_problem(psprintf("%s]", repeated("https://[", '1', 300)), 310, "https://a", NULL, 0),
			leads_to(psprintf("%s:443", repeated("[", '1', 254))), "a long address is cut");
}

static void
masked(void)
{
	static const Case urls[] = {
		{"https://a/x?b=c&d=e#f", "https://a/x?b=***&d=***"},
		{"https://a/x", "https://a/x"}, {"https://a?", "https://a?"}, {"https://a?b", "https://a?***"},
		{"https://a?b=", "https://a?b=***"}, {"https://a?=b", "https://a?=***"},
		{"https://a?b=c=d", "https://a?b=***"}, {"https://a?b&c=d", "https://a?***&c=***"},
		{"https://a?&&b=c&", "https://a?&&b=***&"}, {"https://a?b=c?d=e", "https://a?b=***"},
		{"https://a#b?c=d", "https://a"}, {"https://a?b#c=d", "https://a?***"},
		{"https://a?b=c&d", "https://a?b=***&***"}, {"", ""}, {"?=", "?=***"}
	};

	for (int i = 0; i < lengthof(urls); i++)
		is_text(url_masked(urls[i].given), urls[i].expected, psprintf("\"%s\" is masked", urls[i].given));
}

/* What a receiver may make of one. */
static void
foreign(void)
{
	static const Case urls[] = {
		{"https://a/x?b=c&d#f", "https://a/x?b=***&***"},
		{"http://u:p@a/x", "http://a/x"}, {"http://u@v@a/@x", "http://a/@x"},
		{"http://a/u:p@x?y@z", "http://a/u:p@x?***"}, {"http://a?u@b", "http://a?***"},
		{"http://a#u@b", "http://a"}, {"http://@", "http://"}, {"http://", "http://"},
		{"x@y?z", "x@y?***"}, {"", ""}, {"?", "?"},
		{"http://f\xc3\xa9/a b\n\x7f?b", "http://f?\?/a?b?\??***"}
	};
	char		seen[MAX_SHOWN + 1];

	for (int i = 0; i < lengthof(urls); i++)
	{
		url_show_foreign(urls[i].given, seen);
		is_text(seen, urls[i].expected, psprintf("\"%s\" is shown", urls[i].expected));
	}
	url_show_foreign(repeated("http://a/", 'x', 1014), seen);
	is_int(strlen(seen), MAX_SHOWN - 1, "a long one is shown");
	is_text(seen + 1020, "xxx", "whole");
	url_show_foreign(repeated("http://a/?b=", 'x', 5000), seen);
	is_text(seen, "http://a/?b=***", "of a longer query its keys");
	url_show_foreign(repeated("http://a/?", '&', 5000), seen);
	is_int(strlen(seen), MAX_SHOWN, "a longer one is cut");
	is_text(seen + MAX_SHOWN - 6, "&&&...", "which shows");
}

/* ---------------------------------------------------------------------
 * The URL on the wire
 * ---------------------------------------------------------------------
 */

static StringInfoData url;
static StringInfoData shown;

static const char *
build(const char *endpoint, int len, const NamedValues *params)
{
	initStringInfo(&url);
	initStringInfo(&shown);
	return url_build(endpoint, len, params, &url, &shown);
}

static NamedValues
params_of(const char *json)
{
	Jsonb	   *params = jsonb(json);
	NamedValues list = {0};
	JsonbValue	root;

	json_set_container(&root, &params->root, VARSIZE(params) - VARHDRSZ);
	flatten_value(&root, &list);
	return list;
}

static void
builds(void)
{
	static const struct
	{
		const char *endpoint;
		const char *params;
		const char *url;
		const char *shown;		/* NULL: the same */
	}			known[] = {
		{"https://a", "{}", "https://a/", NULL},
		{"HTTPS://A.Example:0443", "{}", "HTTPS://A.Example:0443/", NULL},
		{"http://[::1]:80/x/../y/./z//", "{}", "http://[::1]:80/x/../y/./z//", NULL},
		{"https://a/b#c", "{}", "https://a/b", NULL},
		{"https://a#b?c=d", "{}", "https://a/", NULL},
		{"https://a?", "{}", "https://a/", NULL},
		{"https://a?&&", "{}", "https://a/", NULL},
		{"https://a?#b", "{\"c\": 1}", "https://a/?c=1", NULL},

		/* a path */
		{"https://a/b c", "{}", "https://a/b%20c", NULL},
		{"https://a/é", "{}", "https://a/%C3%A9", NULL},
		{"https://a/%c3%A9%2f%2F", "{}", "https://a/%c3%A9%2f%2F", NULL},
		{"https://a/%zz%4%", "{}", "https://a/%25zz%254%25", NULL},
		{"https://a/%4g%g4%%41", "{}", "https://a/%254g%25g4%25%41", NULL},
		{"https://a/-._~/:@!$&'()*+,;=[]", "{}", "https://a/-._~/:@!$&'()*+,;=[]", NULL},
		{"https://a/\"<>\\^`{|}", "{}", "https://a/%22%3C%3E%5C%5E%60%7B%7C%7D", NULL},
		{"https://a/азAZ09", "{}", "https://a/%D0%B0%D0%B7AZ09", NULL},

		/* its own query */
		{"https://a/?b=2&a=1", "{}", "https://a/?a=1&b=2", "https://a/?a=***&b=***"},
		{"https://a?b", "{}", "https://a/?b=", "https://a/?***"},
		{"https://a?b&c=1&d", "{}", "https://a/?b=&c=1&d=", "https://a/?***&c=***&***"},
		{"https://a?b=c=d", "{}", "https://a/?b=c%3Dd", "https://a/?b=***"},
		{"https://a?=x", "{}", "https://a/?=x", "https://a/?=***"},
		{"https://a?b=%41%zz%+%2B%20%00%e9", "{}", "https://a/?b=A%25zz%25+%2B+%00%E9", "https://a/?b=***"},
		{"https://a?b=%4", "{}", "https://a/?b=%254", "https://a/?b=***"},
		{"https://a?b?c=d/e:@", "{}", "https://a/?b%3Fc=d%2Fe%3A%40", "https://a/?b%3Fc=***"},
		{"https://a?%26=%3d", "{}", "https://a/?%26=%3D", "https://a/?%26=***"},
		{"https://a?b=1&b=0&b=2", "{}", "https://a/?b=1&b=0&b=2", "https://a/?b=***&b=***&b=***"},
		{"https://a?&b=1&&c=2&", "{}", "https://a/?b=1&c=2", "https://a/?b=***&c=***"},

		/* params */
		{"https://a", "{\"n\": 1.50, \"z\": null, \"t\": true, \"s\": \"a b&c=d\", \"e\": {}, \"l\": [1, \"x\"]}",
		"https://a/?e=%7B%7D&l%5B0%5D=1&l%5B1%5D=x&n=1.50&s=a+b%26c%3Dd&t=true&z=", NULL},
		{"https://a", "{\"a b\": {\"c&\": \"-._~*'()!\"}}", "https://a/?a+b.c%26=-._~%2A%27%28%29%21", NULL},
		{"https://a", "{\"é\": \"ü+%\"}", "https://a/?%C3%A9=%C3%BC%2B%25", NULL},
		{"https://a", "{\"\": \"\"}", "https://a/?=", NULL},

		/* both, by the bytes of the keys; then in the order that they came */
		{"https://a?c=1&aa=1&B=1&é=1&=1", "{\"b\": 2, \"a\": 2, \"aa\": 2, \"ab\": 2, \"zz\": 2}",
			"https://a/?=1&B=1&a=2&aa=1&aa=2&ab=2&b=2&c=1&zz=2&%C3%A9=1",
		"https://a/?=***&B=***&a=2&aa=***&aa=2&ab=2&b=2&c=***&zz=2&%C3%A9=***"}
	};

	for (int i = 0; i < lengthof(known); i++)
	{
		NamedValues params = params_of(known[i].params);

		is_text(build(known[i].endpoint, strlen(known[i].endpoint), &params), NULL,
				psprintf("%s can be built", known[i].endpoint));
		is_text(url.data, known[i].url, "and is this");
		is_text(shown.data, known[i].shown ? known[i].shown : known[i].url, "and shown so");
	}
}

static void
many_pairs(void)
{
	StringInfoData endpoint;
	StringInfoData expected;
	NamedValues params = params_of("{\"p\": 1, \"q\": 2}");

	initStringInfo(&endpoint);
	initStringInfo(&expected);
	appendStringInfoString(&endpoint, "https://a/?");
	appendStringInfoString(&expected, "https://a/");
	for (int i = 0; i < 1000; i++)
	{
		appendStringInfo(&endpoint, "%sk%03d=%d", i ? "&" : "", 999 - i, 999 - i);
		appendStringInfo(&expected, "%ck%03d=%d", i ? '&' : '?', i, i);
	}
	appendStringInfoString(&expected, "&p=1&q=2");
	is_text(build(endpoint.data, endpoint.len, &params), NULL, "a thousand pairs");
	is_text(url.data, expected.data, "come in order");
}

static void
bad_builds(void)
{
	static const Case known[] = {
		{"nonsense", NO_SCHEME}, {"https://u:p@a", USERINFO}, {"https://a:0", BAD_PORT},
		{"https://a/\r\nHost: b", CONTROL}, {"https://a?\t", CONTROL}, {"https://", NO_HOST},
		{"https://a b", BAD_HOST}
	};
	NamedValues none = {0};
	NamedValues list = {0};
	JsonbValue	value;
	Jsonb	   *large;

	for (int i = 0; i < lengthof(known); i++)
		is_text(build(known[i].given, strlen(known[i].given), &none), known[i].expected,
				psprintf("\"%s\" cannot be built", printable(known[i].given)));
	is_text(build("https://a/\0b", 12, &none), CONTROL, "nor what has a NUL in it");
	is_text(build("https://a/b?c", 9, &none), NULL, "what is behind its length does not count");
	is_text(url.data, "https://a/", "nor is it sent");

	is_text(build("https://a/%41", 12, &none), NULL, "nor does it complete a code");
	is_text(url.data, "https://a/%254", "which stands for itself");

	/* SQL_ASCII may hold anything */
	SetDatabaseEncoding(PG_SQL_ASCII);
	json_set_string(&value, "\xc3\xa9", 2);
	named_values_add(&list, "k", 1, &value);
	is_text(build("https://a", 9, &list), NULL, "bytes that are UTF-8");
	is_text(url.data, "https://a/?k=%C3%A9", "are sent");
	json_set_string(&value, "\xe9", 1);
	named_values_add(&list, "l", 1, &value);
	is_text(build("https://a", 9, &list), "a param is not valid UTF-8", "others are not");
	list.count = 0;
	json_set_string(&value, "v", 1);
	named_values_add(&list, "\xe9", 1, &value);
	is_text(build("https://a", 9, &list), "a param is not valid UTF-8", "nor in a key");
	SetDatabaseEncoding(PG_UTF8);

	/* as long as may be, and longer */
	is_text(build(repeated("https://a/", 'x', 65526), 65536, &none), NULL, "65536 bytes");
	is_int(url.len, 65536, "all of them");
	is_text(build(repeated("https://a/", 'x', 65527), 65537, &none),
			"the URL is longer than 65536 bytes", "65537 bytes");
	is_text(build(repeated("https://a/", ' ', 21843), 21853, &none), TOO_LONG, "too many that are encoded");
	is_text(build(repeated("https://a/", ' ', 21842), 21852, &none), NULL, "a few less");
	is_text(build(repeated("https://a/?k=", '%', 21842), 21855, &none), TOO_LONG, "too many in the query");
	is_text(build(repeated("https://a/?k=", '%', 21841), 21854, &none), NULL, "a few less");

	for (int more = 0; more < 2; more++)
	{
		list.count = 0;
		json_set_string(&value, repeated("", 'v', 65523 + more), 65523 + more);
		named_values_add(&list, "k", 1, &value);
		is_text(build("https://a", 9, &list), more ? TOO_LONG : NULL, "a param of about that");
		if (!more)
			is_int(url.len, 65536, "is sent whole");
	}
	list.count = 0;
	json_set_string(&value, repeated("", 'v', 40000), 40000);
	named_values_add(&list, "k", 1, &value);
	named_values_add(&list, "l", 1, &value);
	is_text(build("https://a", 9, &list), TOO_LONG, "two that are too long together");
	ok(url.maxlen < 65536, "which is seen before they are written");

	/* a container is bounded while it is written */
	large = jsonb(psprintf("[\"%s\"]", repeated("", 'v', 70000)));
	list.count = 0;
	json_set_container(&value, &large->root, VARSIZE(large) - VARHDRSZ);
	named_values_add(&list, "k", 1, &value);
	throws(build("https://a", 9, &list), ERRCODE_PROGRAM_LIMIT_EXCEEDED, "an array that is too long");
}

static void
tests(void)
{
	problems();
	settled();
	encodings();
	origins();
	masked();
	foreign();
	builds();
	many_pairs();
	bad_builds();
}
