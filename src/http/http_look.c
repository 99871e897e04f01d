/*-------------------------------------------------------------------------
 *
 * http_look.c
 *		How far a request in flight has come, for people.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "http/http.h"
#include "http/http_lists.h"
#include "http/http_result.h"
#include "http/transfer.h"

/* That which was tried last, as libcurl tells one that it is connected to only. */
static void
tried_address(const Transfer *t, HttpLook *look)
{
	const struct sockaddr *addr = &t->address.addr;
	const void *bytes;

	if (!t->opened)
		return;
	if (addr->sa_family == AF_INET)
	{
		bytes = &((const struct sockaddr_in *) addr)->sin_addr;
		look->port = ntohs(((const struct sockaddr_in *) addr)->sin_port);
	}
	else if (addr->sa_family == AF_INET6)
	{
		bytes = &((const struct sockaddr_in6 *) addr)->sin6_addr;
		look->port = ntohs(((const struct sockaddr_in6 *) addr)->sin6_port);
	}
	else
		return;
	if (inet_ntop(addr->sa_family, bytes, look->address, sizeof(look->address)) == NULL)
		look->address[0] = '\0';
}

void
http_look(uint64_t tag, HttpLook *look)
{
	const Transfer *t = http_lists_find(tag);
	char	   *address = NULL;
	long		port = 0;
	long		request_size = 0;
	curl_off_t	uploaded = 0;
	curl_off_t	downloaded = 0;

	memset(look, 0, sizeof(*look));
	look->phase = HTTP_PHASE_DONE;
	if (t == NULL)
		return;
	look->phase = t->name != NULL ? HTTP_PHASE_RESOLVE : http_result_phase(t);
	if (t->easy == NULL || !t->in_multi)
		return;
	curl_easy_getinfo(t->easy, CURLINFO_PRIMARY_IP, &address);
	curl_easy_getinfo(t->easy, CURLINFO_PRIMARY_PORT, &port);
	curl_easy_getinfo(t->easy, CURLINFO_REQUEST_SIZE, &request_size);
	curl_easy_getinfo(t->easy, CURLINFO_SIZE_UPLOAD_T, &uploaded);
	curl_easy_getinfo(t->easy, CURLINFO_SIZE_DOWNLOAD_T, &downloaded);
	if (address != NULL && address[0] != '\0')
	{
		snprintf(look->address, sizeof(look->address), "%s", address);
		look->port = (int) port;
	}
	else
		tried_address(t, look);
	look->sent = request_size + uploaded;
	look->received = (int64_t) t->head_bytes + downloaded;
}
