/*-------------------------------------------------------------------------
 *
 * messages.h
 *		In which language PostgreSQL's messages are.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_MESSAGES_H
#define RSWEBHOOK_MESSAGES_H

#include "utils/pg_locale.h"

/*
 * What they quote stands in '"' in English, and in no other language for certain: where
 * values are to be left out of such a text, all of it is, then.
 */
static inline bool
messages_are_english(void)
{
	const char *language = locale_messages; /* lc_messages; empty: the environment's */

	return strcmp(language, "POSIX") == 0 || strcmp(language, "C") == 0 ||
		strncmp(language, "C.", 2) == 0 || strncmp(language, "en", 2) == 0;
}

#endif							/* RSWEBHOOK_MESSAGES_H */
