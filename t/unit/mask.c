/*-------------------------------------------------------------------------
 *
 * mask.c
 *		Unit tests of how secrets in what a receiver says are found.
 *
 * rooms: destination/mask.c
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "unit.h"

#include <time.h>

#include "destination/mask.h"

#define SECRET	"s3cret/t\\o+\"k&n %\303\251"	/* with what is escaped somewhere */

static void
masks_bytes(const char *text, size_t len, bool cut, const char *secrets, const char *expected)
{
	char	   *copy = palloc(len + 1);
	size_t		left;

	memcpy(copy, text, len);
	left = mask_secrets(copy, len, cut, secrets);
	copy[left] = '\0';
	is_text(copy, expected, psprintf("%.60s, %.30s%s", text, secrets ? secrets : "nothing", cut ? ", cut" : ""));
	pfree(copy);
}

static void
masks(const char *text, const char *secrets, const char *expected)
{
	masks_bytes(text, strlen(text), false, secrets, expected);
}

static void
masks_cut(const char *text, const char *secrets, const char *expected)
{
	masks_bytes(text, strlen(text), true, secrets, expected);
}

static void
forms(void)
{
	masks("", SECRET "\0", "");
	masks("nothing", NULL, "nothing");
	masks("nothing", "\0", "nothing");
	masks("<" SECRET ">", SECRET "\0", "<***>");
	masks("<s3cret\\/t\\\\o+\\\"k&n %\\u00e9>", SECRET "\0", "<***>");	/* JSON */
	masks("<s3cret/t\\\\o+\\\"k\\u0026n %\303\251>", SECRET "\0", "<***>");
	masks("<s3cret\\\\\\/t\\\\o+\\\\\\\"k&n %\\\\u00E9>", SECRET "\0", "<***>");	/* twice */
	masks("<s3cret%2ft%5co%2b%22k%26n+%25%c3%a9>", SECRET "\0", "<***>");	/* forms */
	masks("<s3cret/t%5Co%2B%22k&n%20%25%E9>", SECRET "\0", "<***>");
	masks("<s3cret/t\\o+&quot;k&amp;n %&#233;>", SECRET "\0", "<***>");	/* HTML */
	masks("<s3cret/t\\o+&#34;k&#x26;n %&#xE9;>", SECRET "\0", "<***>");
	masks("<s3cret/t\\o+\"k&n %\351>", SECRET "\0", "<***>");	/* Latin-1 */
	masks("%73%33%63%72%65%74!", "s3cret\0", "***!");
	masks("\\u00733cret", "s3cret\0", "***");
	masks("<new\\nline\\r\\\\n>", "new\nline\r\n\0", "<***>");
	masks("<new\\nline\\b\\f\\t>", "new\\nline\b\f\t\0", "<***>");	/* one of them no escape */
	masks("<s\\\\3\\&quot;cret>", "s\\\\3\\\"cret\0", "<***>");	/* it is of JSON, and in HTML */
	masks("a%41bcdef", "a%41bcdef\0", "***");	/* not an escape */
	masks("a%2541bcdef", "a%41bcdef\0", "***");
	masks("pass\\ud83d\\ude00word", "pass\360\237\230\200word\0", "***");
	masks_bytes("s\0" "3\0c\0r\0e\0t\0.", 13, false, "s3cret\0", "***.");	/* UTF-16 */
	masks("<a-b_c=d&e", "a-b_c=d&e\0", "<***");
}

/* of "me:s3cret-password", "xs3cret-password", "xxs3cret-password" and the password */
static void
base64(void)
{
	masks("Basic bWU6czNjcmV0LXBhc3N3b3Jk.", "s3cret-password\0", "Basic bWU6***.");
	masks("eHMzY3JldC1wYXNzd29yZA==", "s3cret-password\0", "eH***");
	masks("eHhzM2NyZXQtcGFzc3dvcmQ=", "s3cret-password\0", "eHh***");
	masks("czNjcmV0LXBhc3N3b3Jk", "s3cret-password\0", "***");
	masks("{\"a\":\"fn5-fn5\\/fn4=\"}", "~~~~~\177~~\0", "{\"a\":\"***\"}");
	masks("fn5-fn5_fn4.", "~~~~~\177~~\0", "***.");
	masks("fn5%2Bfn5%2Ffn4%3D", "~~~~~\177~~\0", "***");
}

static void
several(void)
{
	masks("first1second2", "first1\0second2\0", "***");
	masks("first1 and second2, first1", "first1\0second2\0", "*** and ***, ***");
	masks("abcdefghi.", "abcdef\0defghi\0", "***.");	/* in each other */
	masks("Bearer abcdef", "Bearer abcdef\0abcdef\0", "***");
	masks("abcdefghijk", "abcdef\0abcdefghijk\0", "***");
	masks("short", "short\0", "short");
	masks("ssss3cret", "s3cret\0", "sss***");
}

static void
cuts(void)
{
	for (int i = 1; i < 6; i++)
		masks_cut(psprintf("so it is %.*s", i, "s3cret"), "s3cret\0",
				  psprintf("so it is %.*s", Min(i, 3), "***"));
	masks_cut("ok", "s3cret\0", "ok");
	masks_cut("s3cret ok", "s3cret\0", "*** ok");
	masks_cut("<caf", "caf\303\251-secret\0", "<***");
	masks_cut("<caf\303", "caf\303\251-secret\0", "<***");
	masks_cut("<caf%C3%A", "caf\303\251-secret\0", "<***");
	masks_cut("<caf\\u00", "caf\303\251-secret\0", "<***");
	masks_cut("Basic bWU6czNjc", "s3cret-password\0", "Basic bWU6***");
	masks("so it is s3cre", "s3cret\0", "so it is s3cre");
}

static double
seconds(const char *piece, const char *secrets, char **masked)
{
	struct timespec from,
				to;
	size_t		len = 1024 * 1024;
	char	   *text = palloc(len + 1);

	for (size_t i = 0; i < len; i++)
		text[i] = piece[i % strlen(piece)];
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &from);
	text[mask_secrets(text, len, true, secrets)] = '\0';
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &to);
	*masked = text;
	return (to.tv_sec - from.tv_sec) + (to.tv_nsec - from.tv_nsec) / 1e9;
}

static void
hostile(void)
{
	char	   *many = palloc0(300 * 10 + 1);
	char	   *end = many;
	char	   *alike = palloc0(60000 + 2);
	char	   *text;
	double		took;

	for (int i = 0; i < 300; i++)
		end += sprintf(end, "secret%03d", i) + 1;
	masks("any text", many, "***");
	end = many + 200 * 10;
	*end = '\0';
	masks("secret150, secret250", many, "***, secret250");

	memset(alike, 'a', 60000);
	took = seconds("a", alike, &text);
	ok(took < 2, psprintf("a secret that is everywhere takes %.3f s", took));
	is_text(text, "***", "and is masked");
	alike[59999] = 'b';
	took = seconds("a", alike, &text);
	ok(took < 2, psprintf("one that is nearly everywhere takes %.3f s", took));
	ok(strlen(text) < 1000000 && strstr(text, "***") != NULL, "and the rest is masked");
	took = seconds("secret", many, &text);
	ok(took < 2, psprintf("what many begin with takes %.3f s", took));
	took = seconds("\\\\\\\\%25&amp", many, &text);
	ok(took < 2, psprintf("escapes take %.3f s", took));
	took = seconds("The answer to this is {\"ok\": true}\n", "s3cret-password\0Bearer token123\0", &text);
	is_int(strlen(text), 1024 * 1024, "what has no secret stays");
	ok(took < 0.5, psprintf("and takes %.3f s a MB", took));
}

static void
strings(void)
{
	char		text[] = "it is s3cr";

	mask_string(text, 100, "s3cret\0");
	is_text(text, "it is s3cr", "a string that is whole");
	mask_string(text, 10, "s3cret\0");
	is_text(text, "it is ***", "one that was cut");
}

static void
tests(void)
{
	forms();
	base64();
	several();
	cuts();
	strings();
	hostile();
}
