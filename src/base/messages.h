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

#include <locale.h>

/*
 * What they quote stands in '"' in English, and in no other language for certain: where
 * values are to be left out of such a text, all of it is, then.
 */
static inline bool
messages_are_english(void)
{
#ifdef LC_MESSAGES
	const char *language = setlocale(LC_MESSAGES, NULL);

	return language == NULL || strcmp(language, "POSIX") == 0 || strcmp(language, "C") == 0 ||
		strncmp(language, "C.", 2) == 0 || strncmp(language, "en", 2) == 0;
#else
	return true;
#endif
}

#endif							/* RSWEBHOOK_MESSAGES_H */
