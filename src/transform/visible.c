/*-------------------------------------------------------------------------
 *
 * visible.c
 *		What people see of a text that identifies somebody or something.
 *
 * As RudderStack's gateway has it.  There, characters that its version of Unicode has
 * not assigned yet are invisible, too; here they are not.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "mb/pg_wchar.h"
#include "miscadmin.h"

#include "base/encoding.h"
#include "transform/visible.h"

/*
 * Controls, formats, what is for private use, and all spaces but the blank (categories Cc,
 * Cf, Co, Zl, Zp, Zs); and some of other categories that show nothing.
 */
static const struct
{
	pg_wchar	first;
	pg_wchar	last;
}			invisible[] = {
	{0x0000, 0x001F}, {0x007F, 0x00A0}, {0x00AD, 0x00AD}, {0x034F, 0x034F}, {0x0600, 0x0605},
	{0x061C, 0x061C}, {0x06DD, 0x06DD}, {0x070F, 0x070F}, {0x0890, 0x0891}, {0x08E2, 0x08E2},
	{0x115F, 0x1160}, {0x1680, 0x1680}, {0x17B4, 0x17B5}, {0x180E, 0x180E}, {0x2000, 0x200F},
	{0x2028, 0x202F}, {0x205F, 0x206F}, {0x2800, 0x2800}, {0x3000, 0x3000}, {0x3164, 0x3164},
	{0xE000, 0xF8FF}, {0xFEFF, 0xFEFF}, {0xFFA0, 0xFFA0}, {0xFFF9, 0xFFFB}, {0x110BD, 0x110BD},
	{0x110CD, 0x110CD}, {0x13430, 0x1343F}, {0x1BCA0, 0x1BCA3}, {0x1D173, 0x1D17A},
	{0xE0001, 0xE0001}, {0xE0020, 0xE007F}, {0xF0000, 0xFFFFD}, {0x100000, 0x10FFFD}
};

static bool
is_invisible(pg_wchar c)
{
	int			low = 0;
	int			high = lengthof(invisible) - 1;

	while (low <= high)
	{
		int			middle = (low + high) / 2;

		if (c < invisible[middle].first)
			high = middle - 1;
		else if (c > invisible[middle].last)
			low = middle + 1;
		else
			return true;
	}
	return false;
}

/* Is the character that begins at c, in UTF-8, invisible?  *len: its bytes. */
static bool
is_invisible_at(const char *c, int *len)
{
	*len = 1;
	if (!IS_HIGHBIT_SET(*c))
		return (unsigned char) *c < ' ' || *c == 0x7F;
	*len = pg_utf_mblen((const unsigned char *) c);
	return is_invisible(utf8_to_unicode((const unsigned char *) c));
}

static bool
is_all_visible(const char *text, int len)
{
	int			char_len;

	for (int i = 0; i < len; i += char_len)
	{
		CHECK_FOR_INTERRUPTS();
		if (is_invisible_at(text + i, &char_len))
			return false;
	}
	return true;
}

static char *
remove_invisible(const char *text, int *len)
{
	char	   *visible = palloc(*len + 1);
	char	   *to = visible;
	int			char_len;

	for (int i = 0; i < *len; i += char_len)
	{
		CHECK_FOR_INTERRUPTS();
		if (is_invisible_at(text + i, &char_len))
			continue;
		memcpy(to, text + i, char_len);
		to += char_len;
	}
	*to = '\0';
	*len = to - visible;
	return visible;
}

bool
visible_text(const char **text, int *len)
{
	bool		is_utf8 = encoding_to_utf8(text, len);

	if (is_utf8 && !is_all_visible(*text, *len))
		*text = remove_invisible(*text, len);
	for (; *len > 0 && **text == ' '; (*text)++)
		(*len)--;
	while (*len > 0 && (*text)[*len - 1] == ' ')
		(*len)--;
	return is_utf8;
}
