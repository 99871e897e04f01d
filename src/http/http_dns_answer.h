/*-------------------------------------------------------------------------
 *
 * http_dns_answer.h
 *		Answers of name servers that are of no use, as c-ares is told of them.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_HTTP_DNS_ANSWER_H
#define RSWEBHOOK_HTTP_DNS_ANSWER_H

#include <stddef.h>

/* A datagram with a question goes out by that socket. */
extern void http_dns_answer_asked(int fd, const unsigned char *message, size_t len);

/*
 * A datagram came by it, into so much room.  One of no use to anybody becomes one
 * after which c-ares asks the next name server.  Returns how long it is then.
 */
extern size_t http_dns_answer_came(int fd, unsigned char *message, size_t len, size_t room);

#endif							/* RSWEBHOOK_HTTP_DNS_ANSWER_H */
