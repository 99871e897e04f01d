/*-------------------------------------------------------------------------
 *
 * http_certificate.c
 *		The HTTP room, when a receiver's certificate ends.
 *
 * See transfer.h for the rules of the room.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include <time.h>

#include <openssl/ssl.h>

#include "http/http_certificate.h"
#include "http/http_unasked.h"

/*
 * libcurl would put all of each certificate of the chain into words, which takes a
 * seventh of the work of a handshake.
 */
int64_t
http_certificate_ends(const Transfer *t)
{
	SSL		   *tls = http_unasked_tls(t);
	X509	   *certificate = tls != NULL ? SSL_get_peer_certificate(tls) : NULL;
	struct tm	tm = {0};
	bool		known = certificate != NULL &&
		ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &tm) == 1;

	X509_free(certificate);
	return known ? (int64_t) timegm(&tm) : 0;
}
