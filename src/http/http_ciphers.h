/*-------------------------------------------------------------------------
 *
 * http_ciphers.h
 *		The HTTP room, which ciphers of TLS 1.2 are offered.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_HTTP_CIPHERS_H
#define RSWEBHOOK_HTTP_CIPHERS_H

#include <curl/curl.h>

extern void http_ciphers_init(const curl_version_info_data *info);

/* For CURLOPT_SSL_CIPHER_LIST; NULL: libcurl's own. */
extern const char *http_ciphers(void);

#endif							/* RSWEBHOOK_HTTP_CIPHERS_H */
