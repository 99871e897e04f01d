/*-------------------------------------------------------------------------
 *
 * integrations.c
 *		An event's own say in who receives it.
 *
 * RudderStack's gate knows the kind of destination, "Webhook", and "All".  Its
 * documentation has people write "WEBHOOK", which means the same here; and each
 * destination can be meant by its own name, which says most.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"

#include "destination/integrations.h"

/* What a value says: true, false, or nothing. */
static bool
says(const JsonbValue *value, bool *allowed)
{
	bool		is_object = value->type == jbvBinary && JsonContainerIsObject(value->val.binary.data);

	if (value->type != jbvBool && !is_object)
		return false;
	*allowed = is_object || value->val.boolean;
	return true;
}

static bool
is_named(const JsonbValue *key, const char *name)
{
	return key->val.string.len == (int) strlen(name) &&
		memcmp(key->val.string.val, name, key->val.string.len) == 0;
}

/* What else is named, once it is known that some say is heard. */
static void
read_named(JsonbContainer *container, Integrations *said)
{
	JsonbIterator *it = JsonbIteratorInit(container);
	JsonbIteratorToken token;
	JsonbValue	value;
	JsonbValue	key = {0};

	said->named = palloc_extended(Max(JsonContainerSize(container), 1) * sizeof(NamedSay), MCXT_ALLOC_HUGE);
	while ((token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
	{
		NamedSay   *next = &said->named[said->nnamed];

		CHECK_FOR_INTERRUPTS();
		if (token == WJB_KEY)
			key = value;
		if (token != WJB_VALUE || is_named(&key, "All") || is_named(&key, "Webhook") ||
			is_named(&key, "WEBHOOK") || !says(&value, &next->allowed))
			continue;
		next->name = key.val.string.val;
		next->len = key.val.string.len;
		said->nnamed++;
	}
}

void
integrations_read(Jsonb *event, Integrations *said)
{
	JsonbContainer *container;
	JsonbValue	value;

	*said = (Integrations) {.allowed = true};
	if (getKeyJsonValueFromContainer(&event->root, "integrations", strlen("integrations"), &value) == NULL)
		return;
	said->allowed = false;
	if (value.type != jbvBinary || !JsonContainerIsObject(value.val.binary.data))
		return;
	container = value.val.binary.data;

	if (getKeyJsonValueFromContainer(container, "All", strlen("All"), &value) != NULL)
	{
		if (value.type != jbvBool)
			return;
		said->allowed = value.val.boolean;
	}
	else
		said->allowed = true;
	if (getKeyJsonValueFromContainer(container, "Webhook", strlen("Webhook"), &value) == NULL ||
		!says(&value, &said->allowed))
	{
		if (getKeyJsonValueFromContainer(container, "WEBHOOK", strlen("WEBHOOK"), &value) != NULL)
			(void) says(&value, &said->allowed);
	}
	read_named(container, said);
}
