/*-------------------------------------------------------------------------
 *
 * consent.c
 *		What a user's consent says of a destination, as RudderStack has it.
 *
 * An event brings the ids that its user has denied, and the provider that asked
 * for them.  A destination has, for each provider, the ids that it needs: all of
 * them, or by the strategy "or" any one.  Two older settings, of OneTrust and of
 * Ketch, hold where there is none for the provider.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"

#include "base/encoding.h"
#include "destination/consent.h"

typedef struct Id
{
	const char *text;
	int			len;
} Id;

struct Denied
{
	Id			provider;		/* may be empty */
	Id			strategy;		/* likewise */
	Id		   *ids;			/* sorted */
	int			count;
};

/* The settings, and where in an element of each its id is. */
#define GENERIC			"consentManagement"
static const struct
{
	const char *key;
	const char *provider;
	const char *id;
	bool		any;			/* one that is not denied is enough */
}			legacy[] = {
	{"oneTrustCookieCategories", "oneTrust", "oneTrustCookieCategory", false},
	{"ketchConsentPurposes", "ketch", "purpose", true}
};

/* ---------------------------------------------------------------------
 * Reading
 * ---------------------------------------------------------------------
 */
static bool
id_is(Id id, const char *text)
{
	return id.len == (int) strlen(text) && memcmp(id.text, text, id.len) == 0;
}

static bool
get(JsonbContainer *object, const char *key, JsonbValue *value)
{
	return getKeyJsonValueFromContainer(object, key, strlen(key), value) != NULL &&
		value->type != jbvNull;
}

static JsonbContainer *
get_object(JsonbContainer *object, const char *key)
{
	JsonbValue	value;

	return get(object, key, &value) && value.type == jbvBinary &&
		JsonContainerIsObject(value.val.binary.data) ? value.val.binary.data : NULL;
}

/* NULL: there is none, or it is empty. */
static JsonbContainer *
get_array(JsonbContainer *object, const char *key)
{
	JsonbValue	value;

	return get(object, key, &value) && value.type == jbvBinary &&
		JsonContainerIsArray(value.val.binary.data) && !JsonContainerIsScalar(value.val.binary.data) &&
		JsonContainerSize(value.val.binary.data) > 0 ? value.val.binary.data : NULL;
}

/* Empty where there is none; false if it is something else. */
static bool
get_string(JsonbContainer *object, const char *key, Id *string)
{
	JsonbValue	value;

	*string = (Id) {"", 0};
	if (!get(object, key, &value))
		return true;
	if (value.type != jbvString)
		return false;
	*string = (Id) {value.val.string.val, value.val.string.len};
	return true;
}

static int
compare_ids(const void *a, const void *b)
{
	const Id   *x = a;
	const Id   *y = b;

	if (x->len != y->len)
		return x->len < y->len ? -1 : 1;
	return memcmp(x->text, y->text, x->len);
}

/* False: not all are strings. */
static bool
read_denied_ids(JsonbContainer *array, Denied *denied)
{
	JsonbIterator *it = JsonbIteratorInit(array);
	JsonbIteratorToken token;
	JsonbValue	value;

	denied->ids = palloc_extended(JsonContainerSize(array) * sizeof(Id), MCXT_ALLOC_HUGE);
	while ((token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
	{
		CHECK_FOR_INTERRUPTS();
		if (token != WJB_ELEM || value.type == jbvNull)
			continue;
		if (value.type != jbvString)
			return false;
		if (value.val.string.len > 0)
			denied->ids[denied->count++] = (Id) {value.val.string.val, value.val.string.len};
	}
	qsort(denied->ids, denied->count, sizeof(Id), compare_ids);
	return true;
}

/* What cannot be read denies nothing. */
Denied *
consent_denied(Jsonb *event)
{
	JsonbContainer *context = get_object(&event->root, "context");
	JsonbContainer *said = context == NULL ? NULL : get_object(context, GENERIC);
	JsonbContainer *ids = said == NULL ? NULL : get_array(said, "deniedConsentIds");
	Denied	   *denied;

	if (ids == NULL)
		return NULL;			/* nearly always */
	denied = palloc0(sizeof(Denied));
	if (!get_string(said, "provider", &denied->provider) ||
		!get_string(said, "resolutionStrategy", &denied->strategy) ||
		!read_denied_ids(ids, denied) || denied->count == 0)
		return NULL;
	return denied;
}

/* ---------------------------------------------------------------------
 * Deciding
 * ---------------------------------------------------------------------
 */
static bool
is_denied(const Denied *denied, Id id)
{
	return bsearch(&id, denied->ids, denied->count, sizeof(Id), compare_ids) != NULL;
}

/*
 * How many ids there are in an array of strings, or of objects with a key, and how
 * many of these are denied.
 */
static void
count_ids(const Denied *denied, JsonbContainer *array, const char *key, int *count, int *ndenied)
{
	JsonbIterator *it = JsonbIteratorInit(array);
	JsonbIteratorToken token;
	JsonbValue	value;

	*count = *ndenied = 0;
	while ((token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
	{
		Id			id = {"", 0};

		CHECK_FOR_INTERRUPTS();
		if (token != WJB_ELEM)
			continue;
		if (value.type == jbvString)
			id = (Id) {value.val.string.val, value.val.string.len};
		else if (value.type == jbvBinary && JsonContainerIsObject(value.val.binary.data))
			(void) get_string(value.val.binary.data, key, &id);
		if (id.len == 0)
			continue;
		(*count)++;
		*ndenied += is_denied(denied, id);
	}
}

static bool
is_enough(int count, int ndenied, bool any)
{
	return any ? ndenied < count : ndenied == 0;
}

/*
 * The last entry for the event's provider that has ids decides, if there is one.  The
 * provider's strategy is the event's; only "custom" leaves it to the destination.
 */
static bool
decide_by_provider(const Denied *denied, JsonbContainer *entries, bool *allowed)
{
	JsonbIterator *it = JsonbIteratorInit(entries);
	JsonbIteratorToken token;
	JsonbValue	value;
	bool		decided = false;

	while ((token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
	{
		JsonbContainer *entry;
		JsonbContainer *ids;
		Id			provider;
		Id			strategy;
		int			count;
		int			ndenied;

		CHECK_FOR_INTERRUPTS();
		if (token != WJB_ELEM || value.type != jbvBinary || !JsonContainerIsObject(value.val.binary.data))
			continue;
		entry = value.val.binary.data;
		if (!get_string(entry, "provider", &provider) || provider.len == 0 ||
			compare_ids(&provider, &denied->provider) != 0 ||
			(ids = get_array(entry, "consents")) == NULL)
			continue;
		count_ids(denied, ids, "consent", &count, &ndenied);
		if (count == 0)
			continue;
		strategy = denied->strategy;
		if (id_is(provider, "custom"))
			(void) get_string(entry, "resolutionStrategy", &strategy);
		*allowed = is_enough(count, ndenied, id_is(strategy, "or"));
		decided = true;
	}
	return decided;
}

bool
consent_allows(const Denied *denied, Jsonb *consent)
{
	JsonbContainer *ids;
	bool		allowed;

	if (denied == NULL || !JB_ROOT_IS_OBJECT(consent))
		return true;
	ids = get_array(&consent->root, GENERIC);
	if (ids != NULL && decide_by_provider(denied, ids, &allowed))
		return allowed;
	for (int i = 0; i < lengthof(legacy); i++)
	{
		int			count;
		int			ndenied;

		if (denied->provider.len > 0 && !id_is(denied->provider, legacy[i].provider))
			continue;
		ids = get_array(&consent->root, legacy[i].key);
		if (ids == NULL)
			continue;
		count_ids(denied, ids, legacy[i].id, &count, &ndenied);
		if (count > 0)
			return is_enough(count, ndenied, legacy[i].any);
	}
	return true;
}

/* ---------------------------------------------------------------------
 * Checking
 * ---------------------------------------------------------------------
 */

/* An object has no other keys than these; what one of them would have said is not ignored. */
static bool
check_keys(JsonbContainer *object, const char *const *known, int nknown, const char *setting,
		   const char *hint, FieldProblem *problem)
{
	JsonbIterator *it = JsonbIteratorInit(object);
	JsonbIteratorToken token;
	JsonbValue	value;

	while ((token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
	{
		bool		found = false;
		Id			key;

		CHECK_FOR_INTERRUPTS();
		if (token != WJB_KEY)
			continue;
		key = (Id) {value.val.string.val, value.val.string.len};
		for (int i = 0; !found && i < nknown; i++)
			found = id_is(key, known[i]);
		if (!found)
			return problem_set_part(problem, "consent", setting,
									psprintf("An element has a key \"%s\", which means nothing.", encoding_quotable(key.text, key.len)),
									hint);
	}
	return true;
}

/* Of ids as strings, or as objects with them; an empty one is left behind by an interface. */
static bool
check_ids(JsonbContainer *array, const char *setting, const char *key, FieldProblem *problem)
{
	const char *hint = psprintf("Use elements such as {\"%s\": \"C0004\"}.", key);
	JsonbIterator *it = JsonbIteratorInit(array);
	JsonbIteratorToken token;
	JsonbValue	value;
	JsonbValue	id;

	while ((token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
	{
		JsonbContainer *element;

		CHECK_FOR_INTERRUPTS();
		if (token != WJB_ELEM || value.type == jbvString)
			continue;
		element = value.type == jbvBinary ? value.val.binary.data : NULL;
		if (element == NULL || !JsonContainerIsObject(element))
			return problem_set_part(problem, "consent", setting,
									"An element is neither a string nor an object.", hint);
		if (!get(element, key, &id) || id.type != jbvString)
			return problem_set_part(problem, "consent", setting,
									psprintf("An element has no string \"%s\".", key), hint);
		if (!check_keys(element, &key, 1, setting, hint, problem))
			return false;
	}
	return true;
}

static bool
check_entry(const JsonbValue *value, FieldProblem *problem)
{
	static const char *const keys[] = {"provider", "resolutionStrategy", "consents"};
	JsonbContainer *entry = value->type == jbvBinary ? value->val.binary.data : NULL;
	const char *hint = "Use an object such as {\"provider\": \"custom\", \"resolutionStrategy\": \"and\", \"consents\": [{\"consent\": \"ads\"}]}.";
	JsonbValue	ids;
	Id			string;

	if (entry == NULL || !JsonContainerIsObject(entry))
		return problem_set_part(problem, "consent", GENERIC, "An element is not an object.", hint);
	if (!check_keys(entry, keys, lengthof(keys), GENERIC, hint, problem))
		return false;
	if (!get_string(entry, "provider", &string) || string.len == 0)
		return problem_set_part(problem, "consent", GENERIC, "An element has no provider.", hint);
	if (!get_string(entry, "resolutionStrategy", &string) ||
		(string.len > 0 && !id_is(string, "and") && !id_is(string, "or")))
		return problem_set_part(problem, "consent", GENERIC,
								"A resolutionStrategy is neither \"and\" nor \"or\".", hint);
	if (!get(entry, "consents", &ids) || ids.type != jbvBinary || !JsonContainerIsArray(ids.val.binary.data))
		return problem_set_part(problem, "consent", GENERIC, "Its consents are not an array.", hint);
	return check_ids(ids.val.binary.data, GENERIC, "consent", problem);
}

static bool
check_entries(JsonbContainer *array, FieldProblem *problem)
{
	JsonbIterator *it = JsonbIteratorInit(array);
	JsonbIteratorToken token;
	JsonbValue	value;

	while ((token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
	{
		CHECK_FOR_INTERRUPTS();
		if (token == WJB_ELEM && !check_entry(&value, problem))
			return false;
	}
	return true;
}

static bool
check_setting(const JsonbValue *key, const JsonbValue *value, FieldProblem *problem)
{
	Id			name = {key->val.string.val, key->val.string.len};
	JsonbContainer *array = value->type == jbvBinary ? value->val.binary.data : NULL;
	char	   *shown = psprintf("key \"%s\"", encoding_quotable(name.text, name.len));
	bool		known = id_is(name, GENERIC);
	const char *id = NULL;

	for (int i = 0; i < lengthof(legacy); i++)
	{
		if (id_is(name, legacy[i].key))
			id = legacy[i].id;
	}
	if (!known && id == NULL)
		return problem_set_part(problem, "consent", shown, "There is no such setting.",
								"Use " GENERIC ", oneTrustCookieCategories or ketchConsentPurposes.");
	if (array == NULL || !JsonContainerIsArray(array))
		return problem_set_part(problem, "consent", shown, "The value is not an array.", NULL);
	return known ? check_entries(array, problem) : check_ids(array, shown, id, problem);
}

bool
destination_consent_check(Jsonb *consent, FieldProblem *problem)
{
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue	key = {0};
	JsonbValue	value;

	if (!JB_ROOT_IS_OBJECT(consent))
		return problem_set(problem, "consent", NULL, "The value is not an object.",
						   "Use an object such as {\"consentManagement\": [{\"provider\": \"custom\", \"resolutionStrategy\": \"and\", \"consents\": [{\"consent\": \"ads\"}]}]}.");
	it = JsonbIteratorInit(&consent->root);
	while ((token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
	{
		CHECK_FOR_INTERRUPTS();
		if (token == WJB_KEY)
			key = value;
		else if (token == WJB_VALUE && !check_setting(&key, &value, problem))
			return false;
	}
	return true;
}
