/*-------------------------------------------------------------------------
 *
 * http_ciphers.c
 *		The HTTP room, which ciphers of TLS 1.2 are offered.
 *
 * All that the system's OpenSSL offers, but for those with an exchange of keys over a
 * finite field (DHE).  There the receiver chooses the group, and with one of 10,000 bits
 * a handshake takes a second of the processor, in which nothing else is sent.  Browsers
 * and Go have given them up, too; TLS 1.3 has groups of its own, which are bounded.
 *
 * See transfer.h for the rules of the room.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "http/http_ciphers.h"

static char *offered = NULL;

/* Those of TLS 1.3 are another list, which stays as it is. */
static bool
is_offered(const SSL_CIPHER *cipher)
{
	int			exchange = SSL_CIPHER_get_kx_nid(cipher);

	return exchange != NID_kx_any && exchange != NID_kx_dhe && exchange != NID_kx_dhe_psk;
}

/* With a colon between them. */
static char *
join_names(STACK_OF(SSL_CIPHER) *ciphers)
{
	size_t		size = 1;
	char	   *names;
	char	   *end;

	for (int i = 0; i < sk_SSL_CIPHER_num(ciphers); i++)
		size += strlen(SSL_CIPHER_get_name(sk_SSL_CIPHER_value(ciphers, i))) + 1;
	end = names = calloc(1, size);
	for (int i = 0; names != NULL && i < sk_SSL_CIPHER_num(ciphers); i++)
	{
		const SSL_CIPHER *cipher = sk_SSL_CIPHER_value(ciphers, i);
		const char *name = SSL_CIPHER_get_name(cipher);

		if (!is_offered(cipher))
			continue;
		if (end != names)
			*end++ = ':';
		memcpy(end, name, strlen(name));
		end += strlen(name);
	}
	return names;
}

void
http_ciphers_init(const curl_version_info_data *info)
{
	SSL_CTX    *context;

	if (offered != NULL || info->ssl_version == NULL ||
		strncmp(info->ssl_version, "OpenSSL/", 8) != 0)
		return;
	context = SSL_CTX_new(TLS_client_method());
	if (context != NULL)
		offered = join_names(SSL_CTX_get_ciphers(context));
	SSL_CTX_free(context);
	ERR_clear_error();
}

const char *
http_ciphers(void)
{
	return offered != NULL && offered[0] != '\0' ? offered : NULL;
}
