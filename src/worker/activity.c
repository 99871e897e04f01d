/*-------------------------------------------------------------------------
 *
 * activity.c
 *		The requests in flight, for whoever asks.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "http/http.h"
#include "shmem/asked.h"
#include "worker/activity.h"
#include "worker/attempt.h"

static const char *
phase_name(HttpPhase phase)
{
	switch (phase)
	{
		case HTTP_PHASE_RESOLVE:
			return "resolving";
		case HTTP_PHASE_CONNECT:
			return "connecting";
		case HTTP_PHASE_TLS:
			return "TLS";
		case HTTP_PHASE_SEND:
			return "sending";
		case HTTP_PHASE_WAIT:
			return "waiting";
		case HTTP_PHASE_RECEIVE:
			return "receiving";
		case HTTP_PHASE_REFUSED:
		case HTTP_PHASE_DONE:
			break;
	}
	return "done";
}

void
activity_answer(void)
{
	Question	question;
	ShownRequest requests[SHOWN_REQUESTS];
	uint64		tags[SHOWN_REQUESTS];
	int			count;

	if (!asked(&question))
		return;					/* nearly always */
	memset(requests, 0, sizeof(requests));
	count = attempt_list(question.event_id, question.skip, requests, tags, SHOWN_REQUESTS);
	for (int i = 0; i < count; i++)
	{
		ShownRequest *shown = &requests[i];
		HttpLook	look;

		http_look(tags[i], &look);
		strlcpy(shown->phase, phase_name(look.phase), sizeof(shown->phase));
		strlcpy(shown->address, look.address, sizeof(shown->address));
		shown->port = look.port;
		shown->sent = look.sent;
		shown->received = look.received;
	}
	asked_answer(&question, requests, count);
}
