/*-------------------------------------------------------------------------
 *
 * enrich.c
 *		Unit tests of what RudderStack's gateway adds to an event, and of what is
 *		visible of a text.
 *
 * rooms: transform/enrich.c transform/visible.c transform/moment.c transform/pairs.c transform/jsonwrite.c transform/jsontext.c transform/jstext.c base/encoding.c
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "unit.h"

#include "utils/builtins.h"
#include "utils/resowner.h"
#include "utils/timestamp.h"

#include "transform/enrich.h"
#include "transform/visible.h"

static char *
id_for_tests(void)
{
	return pstrdup("new");
}

static const char *address = "192.0.2.7";

static Jsonb *
enriched(Jsonb *event)
{
	Arrival		arrival = {.at = 0, .from = address, .new_id = id_for_tests};
	const char *why;

	return enrich_event(event, &arrival, &why);
}

/* A key of what becomes of an event, as JSON; NULL: it has none. */
static char *
of(const char *event, const char *key)
{
	Jsonb	   *whole = enriched(jsonb(event));
	JsonbValue	value;

	if (getKeyJsonValueFromContainer(&whole->root, key, strlen(key), &value) == NULL)
		return NULL;
	return jsonb_text(JsonbValueToJsonb(&value));
}

static void
test_message_id(void)
{
	static const char *const cases[][2] = {
		{"{}", "\"new\""}, {"{\"messageId\": null}", "\"new\""}, {"{\"messageId\": 5}", "\"new\""},
		{"{\"messageId\": {}}", "\"new\""}, {"{\"messageId\": [\"a\"]}", "\"new\""}, {"{\"messageId\": true}", "\"new\""},
		{"{\"messageId\": \"\"}", "\"new\""}, {"{\"messageId\": \" \\t\\u200b\\u2028 \"}", "\"new\""},
		{"{\"messageId\": \"m1\"}", "\"m1\""}, {"{\"messageId\": \" m 1 \"}", "\"m 1\""},
		{"{\"messageId\": \"\\u00a0\\u200bm\\n1\\ufeff\"}", "\"m1\""},
		{"{\"messageId\": \"\xc3\xa9\xf0\x9f\x98\x80\"}", "\"\xc3\xa9\xf0\x9f\x98\x80\""}
	};

	for (int i = 0; i < lengthof(cases); i++)
		is_text(of(cases[i][0], "messageId"), cases[i][1], cases[i][0]);
}

static void
test_rudder_id(void)
{
	static const char *const cases[][2] = {
		{"{\"userId\": \"u1\", \"anonymousId\": \"an1\"}", "\"afd6ba5d-bdc7-4e5a-9fb8-8ec64359ab22\""},
		{"{\"userId\": \"u1\"}", "\"5eff0fc3-0944-48fa-9c04-38f62e3890ca\""},
		{"{\"userId\": \" u\\u200b1 \", \"anonymousId\": null}", "\"5eff0fc3-0944-48fa-9c04-38f62e3890ca\""},
		{"{\"anonymousId\": \"an1\"}", "\"f18e178b-b899-4191-a602-26d5aaa30d87\""},
		{"{\"userId\": \"u1\", \"rudderId\": \"given\"}", "\"given\""},
		{"{\"userId\": \"u1\", \"rudderId\": \" \"}", "\"5eff0fc3-0944-48fa-9c04-38f62e3890ca\""},
		{"{\"userId\": \"u1\", \"rudderId\": 5}", "\"5eff0fc3-0944-48fa-9c04-38f62e3890ca\""}
	};
	/* and what is hashed */
	static const char *const hashes[][2] = {
		{"{\"userId\": 7}", "7:"}, {"{\"userId\": 1.50}", "1.5:"}, {"{\"userId\": true}", "true:"},
		{"{\"userId\": {\"a\": 1}}", "{\"a\":1}:"}, {"{\"anonymousId\": \"\xc3\xa9\"}", ":\xc3\xa9"}
	};

	for (int i = 0; i < lengthof(cases); i++)
		is_text(of(cases[i][0], "rudderId"), cases[i][1], cases[i][0]);
	for (int i = 0; i < lengthof(hashes); i++)
	{
		Datum		hash = DirectFunctionCall1Coll(md5_text, InvalidOid, CStringGetTextDatum(hashes[i][1]));
		char	   *hex = TextDatumGetCString(hash);
		char	   *got = of(hashes[i][0], "rudderId");

		ok(strncmp(got + 1, hex, 8) == 0 && strncmp(got + 25, hex + 20, 12) == 0, hashes[i][0]);
		ok(got[15] == '4' && strchr("89ab", got[20]) != NULL, "with the form of a random one");
	}
}

static void
test_times(void)
{
	static const char *const keys[] = {"receivedAt", "originalTimestamp", "sentAt", "timestamp"};
	static const char arrival[] = "\"2000-01-01T00:00:00.000Z\"";
	static const char *const unusable[] = {"null", "5", "\"x\"", "\"\"", "{}", "[]", "true", "1600000000"};

	for (int i = 0; i < lengthof(keys); i++)
	{
		is_text(of("{}", keys[i]), arrival, psprintf("%s: when it was received", keys[i]));
		for (int j = 0; j < lengthof(unusable); j++)
			is_text(of(psprintf("{\"%s\": %s}", keys[i], unusable[j]), keys[i]), arrival,
					psprintf("%s instead of %s", keys[i], unusable[j]));
		is_text(of(psprintf("{\"%s\": \"2020-01-01T05:30:00+05:30\"}", keys[i]), keys[i]),
				"\"2020-01-01T05:30:00.000+05:30\"", psprintf("%s stays", keys[i]));
	}
	is_text(of("{\"originalTimestamp\": \"2020-01-01T12:00:00Z\", \"sentAt\": \"2020-01-01T12:00:05Z\"}", "timestamp"),
			"\"1999-12-31T23:59:55.000Z\"", "by our clock");
	is_text(of("{\"receivedAt\": \"2020-01-01T12:01:00Z\", \"originalTimestamp\": \"2020-01-01T12:00:00Z\", \"sentAt\": \"2020-01-01T12:00:05Z\"}", "timestamp"),
			"\"2020-01-01T12:00:55.000Z\"", "by the clock of who received it");
	is_text(of("{\"sentAt\": \"2020-01-01T12:00:05Z\"}", "timestamp"), "\"1979-12-31T11:59:55.000Z\"",
			"it is not known when it took place");
	is_text(of("{\"receivedAt\": \"2020-01-01T12:01:00Z\"}", "sentAt"), "\"2020-01-01T12:01:00.000Z\"",
			"received then, sent then");
}

static void
test_address(void)
{
	static const char *const cases[][3] = {
		/* event, request_ip, context */
		{"{}", "\"192.0.2.7\"", "{\"ip\": \"192.0.2.7\"}"},
		{"{\"request_ip\": \"198.51.100.1\"}", "\"198.51.100.1\"", "{\"ip\": \"198.51.100.1\"}"},
		{"{\"request_ip\": \"\"}", "\"\"", NULL}, {"{\"request_ip\": null}", "\"\"", NULL},
		{"{\"request_ip\": 5}", "\"\"", NULL}, {"{\"request_ip\": {}}", "\"\"", NULL},
		{"{\"context\": {}}", "\"192.0.2.7\"", "{\"ip\": \"192.0.2.7\"}"},
		{"{\"context\": {\"ip\": null, \"z\": 1}}", "\"192.0.2.7\"", "{\"z\": 1, \"ip\": \"192.0.2.7\"}"},
		{"{\"context\": {\"ip\": \"x\"}}", "\"192.0.2.7\"", "{\"ip\": \"x\"}"},
		{"{\"context\": {\"ip\": \"\"}}", "\"192.0.2.7\"", "{\"ip\": \"\"}"},
		{"{\"context\": {\"ip\": false}}", "\"192.0.2.7\"", "{\"ip\": false}"},
		{"{\"context\": null}", "\"192.0.2.7\"", "{\"ip\": \"192.0.2.7\"}"},
		{"{\"context\": \"\"}", "\"192.0.2.7\"", "{\"ip\": \"192.0.2.7\"}"},
		{"{\"context\": 0}", "\"192.0.2.7\"", "{\"ip\": \"192.0.2.7\"}"},
		{"{\"context\": false}", "\"192.0.2.7\"", "{\"ip\": \"192.0.2.7\"}"},
		{"{\"context\": \"x\"}", "\"192.0.2.7\"", "\"x\""}, {"{\"context\": 5}", "\"192.0.2.7\"", "5"},
		{"{\"context\": true}", "\"192.0.2.7\"", "true"}, {"{\"context\": []}", "\"192.0.2.7\"", "[]"},
		{"{\"context\": [{}]}", "\"192.0.2.7\"", "[{}]"}
	};

	for (int i = 0; i < lengthof(cases); i++)
	{
		is_text(of(cases[i][0], "request_ip"), cases[i][1], psprintf("%s: address", cases[i][0]));
		is_text(of(cases[i][0], "context"), cases[i][2], psprintf("%s: context", cases[i][0]));
	}
	address = NULL;
	is_text(of("{}", "request_ip"), NULL, "no address");
	is_text(of("{}", "context"), NULL, "no context");
	is_text(of("{\"request_ip\": \"x\"}", "context"), "{\"ip\": \"x\"}", "but the event's own");
	address = "192.0.2.7";
}

/* What is there stays, in jsonb's order of keys; and once more changes nothing. */
static void
test_whole(void)
{
	Jsonb	   *event = jsonb("{\"zzzzzzzzzzzzzzzzzzzzzzz\": {\"deep\": [1, {\"n\": null}]}, \"a\": null, \"userId\": \"u\", \"properties\": {\"x\": 1.50}, \"context\": {\"z\": {\"q\": []}}}");
	Jsonb	   *once = enriched(event);
	char	   *text = jsonb_text(once);
	Jsonb	   *again;

	is_text(text, "{\"a\": null, \"sentAt\": \"2000-01-01T00:00:00.000Z\", \"userId\": \"u\", \"context\": {\"z\": {\"q\": []}, \"ip\": \"192.0.2.7\"}, "
			"\"rudderId\": \"61763869-6114-4ab2-bdac-9ba13af24508\", \"messageId\": \"new\", \"timestamp\": \"2000-01-01T00:00:00.000Z\", "
			"\"properties\": {\"x\": 1.50}, \"receivedAt\": \"2000-01-01T00:00:00.000Z\", \"request_ip\": \"192.0.2.7\", "
			"\"originalTimestamp\": \"2000-01-01T00:00:00.000Z\", \"zzzzzzzzzzzzzzzzzzzzzzz\": {\"deep\": [1, {\"n\": null}]}}",
			"a whole event");
	is_text(jsonb_text(jsonb(text)), text, "its keys are where jsonb has them");
	address = "203.0.113.1";
	again = enriched(once);
	address = "192.0.2.7";
	ok(VARSIZE(again) == VARSIZE(once) && memcmp(again, once, VARSIZE(once)) == 0, "what is enriched stays as it is");
	is_text(jsonb_text(event), "{\"a\": null, \"userId\": \"u\", \"context\": {\"z\": {\"q\": []}}, \"properties\": {\"x\": 1.50}, \"zzzzzzzzzzzzzzzzzzzzzzz\": {\"deep\": [1, {\"n\": null}]}}",
			"the given one is untouched");
}

static void
test_accepted(void)
{
	static const char *const refused[] = {
		"{}", "{\"type\": \"track\", \"event\": \"E\"}", "{\"userId\": null}", "{\"userId\": \"\"}", "{\"userId\": \" \"}",
		"{\"userId\": \"\\u200b\"}", "{\"userId\": \"\\u3164\\u2800\\ufeff\", \"anonymousId\": \"\\n\"}",
		"{\"type\": \"Extract\"}", "{\"type\": \"retl\"}", "{\"type\": [\"extract\"]}", "{\"user_id\": \"u\"}"
	};
	static const char *const accepted[] = {
		"{\"userId\": 0}", "{\"userId\": false}", "{\"userId\": {}}", "{\"userId\": []}", "{\"anonymousId\": \"x\"}",
		"{\"userId\": \"\", \"anonymousId\": \"a\"}", "{\"userId\": \" . \"}", "{\"type\": \"extract\"}", "{\"type\": \"rETL\"}"
	};

	for (int i = 0; i < lengthof(refused); i++)
		ok(!enrich_is_accepted(jsonb(refused[i])), psprintf("refused: %s", refused[i]));
	for (int i = 0; i < lengthof(accepted); i++)
		ok(enrich_is_accepted(jsonb(accepted[i])), psprintf("accepted: %s", accepted[i]));
}

static void
test_visible(void)
{
	/* the last one before, the first, the last, the first one behind: of some ranges */
	static const char *const shown[] = {"!", "~", "\xc2\xa1", "\xc2\xae", "\xcd\x8e", "\xcd\x90", "\xe2\x80\xa7", "\xe2\x80\xb0", "\xef\xb8\x80", "\xef\xbf\xbd", "\xf0\x9f\x98\x80"};
	static const char *const hidden[] = {
		"\x01", "\x1f", "\x7f", "\xc2\x80", "\xc2\xa0", "\xc2\xad", "\xcd\x8f", "\xe2\x80\x80", "\xe2\x80\x8f",
		"\xe2\x80\xa8", "\xe2\x80\xaf", "\xe3\x80\x80", "\xee\x80\x80", "\xef\xa3\xbf", "\xef\xbb\xbf", "\xf3\xa0\x80\xa0", "\xf4\x8f\xbf\xbd"
	};
	const char *text;
	int			len;

	for (int i = 0; i < lengthof(shown); i++)
	{
		text = shown[i];
		len = strlen(text);
		ok(visible_text(&text, &len) && text == shown[i] && len == strlen(shown[i]), psprintf("shown: %d", i));
	}
	for (int i = 0; i < lengthof(hidden); i++)
	{
		text = hidden[i];
		len = strlen(text);
		ok(visible_text(&text, &len) && len == 0, psprintf("hidden: %d", i));
	}
}

static void
tests(void)
{
	/* libcrypto's hashes are such a resource */
	CurrentResourceOwner = ResourceOwnerCreate(NULL, "unit test");
	test_message_id();
	test_rudder_id();
	test_times();
	test_address();
	test_whole();
	test_accepted();
	test_visible();
}
