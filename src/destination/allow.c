/*-------------------------------------------------------------------------
 *
 * allow.c
 *		What an event may not do with a destination.
 *
 * The transform gives an event a say in where its request goes and what
 * headers it has.  Here is where that ends: an event must not be able to take
 * a destination's credentials elsewhere, nor to put its own in their place.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"

#include "destination/allow.h"
#include "destination/auth.h"
#include "transform/header.h"
#include "transform/json.h"
#include "transform/url.h"

/* Does a header that the destination sets authenticate it? */
static bool
is_credential(const NamedValue *header, const Destination *destination)
{
	return (header->value.type == jbvBinary && !header->valued_by_event) ||
		auth_is_header(&destination->auth, header->name, header->name_len);
}

static bool
event_headers_allowed(const Transformed *transformed, const Destination *destination,
					  char **why)
{
	const NamedValues *headers = &transformed->headers;

	if (destination->event_auth_headers)
		return true;
	if (transformed->displaced != NULL && is_credential(transformed->displaced, destination))
	{
		*why = psprintf("header \"%.*s\", named by the event, would replace the destination's authentication",
						transformed->displaced->name_len, transformed->displaced->name);
		return false;
	}
	for (int own = 0; own < transformed->nconfigured; own++)
	{
		const NamedValue *header = &headers->items[own];

		if (!is_credential(header, destination))
			continue;
		for (int i = transformed->nconfigured; i < headers->count; i++)
		{
			CHECK_FOR_INTERRUPTS();
			if (header_names_alike(header->name, header->name_len, headers->items[i].name,
										   headers->items[i].name_len))
			{
				*why = psprintf("header \"%.*s\" of the event would replace the destination's authentication",
								header->name_len, header->name);
				return false;
			}
		}
	}
	return true;
}

/* That URL was looked at when the row was read. */
static bool
is_own_url(const JsonbValue *endpoint, const Destination *destination)
{
	int			len = endpoint->val.string.len;

	return destination->origin != NULL && strlen(destination->origin) == (size_t) len &&
		memcmp(endpoint->val.string.val, destination->origin, len) == 0;
}

/* Its host becomes ASCII. */
static bool
event_url_allowed(Transformed *transformed, const Destination *destination, char **why)
{
	JsonbValue *endpoint = &transformed->endpoint;
	const char *problem;

	transformed->endpoint_settled = true;
	if (is_own_url(endpoint, destination))
		return true;			/* nearly always */
	problem = url_endpoint_problem(endpoint);
	if (problem == NULL)
		problem = url_origin_problem(endpoint->val.string.val, endpoint->val.string.len,
									 destination->origin, destination->allowed_hosts,
									 destination->nallowed_hosts);
	if (problem != NULL)
		*why = pstrdup(problem);
	return problem == NULL;
}

bool
allow_event(Transformed *transformed, const Destination *destination, char **why)
{
	return transformed->passthrough ||
		(event_url_allowed(transformed, destination, why) &&
		 event_headers_allowed(transformed, destination, why));
}
