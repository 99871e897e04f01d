/*-------------------------------------------------------------------------
 *
 * visible.h
 *		What people see of a text that identifies somebody or something.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_VISIBLE_H
#define RSWEBHOOK_VISIBLE_H

/*
 * A text without its invisible characters, and without blanks at its ends: in UTF-8, and
 * where it is so already, and nothing is to be removed, a part of it.  False: it cannot
 * become UTF-8 (encoding_to_utf8()), and but for blanks all is visible.
 */
extern bool visible_text(const char **text, int *len);

#endif							/* RSWEBHOOK_VISIBLE_H */
