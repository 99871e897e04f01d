/*-------------------------------------------------------------------------
 *
 * jsonwrite.c
 *		Writes values as jsonb.
 *
 * Core's pushJsonbValue() takes containers apart and builds them up again key
 * by key.  All that a transform changes is the top of a tree, so the writer
 * here copies what lies below as it is: everything inside a container is
 * relative to the container's own start, which only has to be aligned.  The
 * format is described in utils/jsonb.h; it is what lies on disk, so it is the
 * same in every version.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"

#include "transform/json.h"

Size
json_space(const JsonbValue *value)
{
	const JsonbPair *pair;
	Size		size;

	switch (value->type)
	{
		case jbvNull:
		case jbvBool:
			return 0;
		case jbvString:
			return value->val.string.len;
		case jbvNumeric:
			return VARSIZE_ANY(value->val.numeric) + sizeof(int32);
		case jbvBinary:
			return value->val.binary.len + sizeof(int32);
		case jbvObject:
			size = sizeof(int32) + offsetof(JsonbContainer, children);
			pair = value->val.object.pairs;
			for (int i = 0; i < value->val.object.nPairs; i++, pair++)
				size += 2 * sizeof(JEntry) + pair->key.val.string.len +
					json_space(&pair->value);
			return size;
		case jbvArray:
			size = sizeof(int32) + offsetof(JsonbContainer, children);
			for (int i = 0; i < value->val.array.nElems; i++)
				size += sizeof(JEntry) + json_space(&value->val.array.elems[i]);
			return size;
		default:
			elog(ERROR, "unexpected jsonb value type: %d", (int) value->type);
	}
	return 0;					/* keep compiler quiet */
}

static inline char *
copy_bytes(char *to, const void *from, Size len)
{
	memcpy(to, from, len);
	return to + len;
}

/* Zeroes up to the next boundary; datums start on one, so pointers can tell. */
static inline char *
pad(char *to)
{
	while ((uintptr_t) to % sizeof(int32) != 0)
		*to++ = 0;
	return to;
}

static char *write_object(char *to, const JsonbValue *object);
static char *write_array(char *to, const JsonbValue *array);

/* Write a value, return the end of it and say what kind of entry it is. */
static inline char *
write_value(char *to, const JsonbValue *value, JEntry *kind)
{
	switch (value->type)
	{
		case jbvNull:
			*kind = JENTRY_ISNULL;
			return to;
		case jbvBool:
			*kind = value->val.boolean ? JENTRY_ISBOOL_TRUE : JENTRY_ISBOOL_FALSE;
			return to;
		case jbvString:
			*kind = JENTRY_ISSTRING;
			return copy_bytes(to, value->val.string.val, value->val.string.len);
		case jbvNumeric:
			*kind = JENTRY_ISNUMERIC;
			return copy_bytes(pad(to), value->val.numeric,
							  VARSIZE_ANY(value->val.numeric));
		case jbvBinary:
			*kind = JENTRY_ISCONTAINER;
			return copy_bytes(pad(to), value->val.binary.data,
							  value->val.binary.len);
		case jbvArray:
			*kind = JENTRY_ISCONTAINER;
			return write_array(to, value);
		default:
			*kind = JENTRY_ISCONTAINER;
			return write_object(to, value);
	}
}

/* Entries hold their length, but every so often their end's offset. */
static inline JEntry
make_entry(int index, JEntry kind, Size len, Size end)
{
	if (end > JENTRY_OFFLENMASK)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("request is too large for jsonb"),
				 errdetail("A part of it would be larger than %u bytes.",
						   (unsigned) JENTRY_OFFLENMASK)));
	if (index % JB_OFFSET_STRIDE == 0)
		return kind | (JEntry) end | JENTRY_HAS_OFF;
	return kind | (JEntry) len;
}

static char *
write_object(char *to, const JsonbValue *object)
{
	const JsonbPair *pairs = object->val.object.pairs;
	int			npairs = object->val.object.nPairs;
	JsonbContainer *container = (JsonbContainer *) pad(to);
	char	   *start = (char *) &container->children[2 * (Size) npairs];
	char	   *end;

	container->header = npairs | JB_FOBJECT;

	to = start;
	for (int i = 0; i < npairs; i++)
	{
		const JsonbValue *key = &pairs[i].key;

		to = copy_bytes(to, key->val.string.val, key->val.string.len);
		container->children[i] = make_entry(i, JENTRY_ISSTRING,
											key->val.string.len, to - start);
	}

	for (int i = 0; i < npairs; i++)
	{
		JEntry		kind;

		CHECK_FOR_INTERRUPTS();
		end = write_value(to, &pairs[i].value, &kind);
		container->children[npairs + i] = make_entry(npairs + i, kind,
													 end - to, end - start);
		to = end;
	}
	return to;
}

static char *
write_array(char *to, const JsonbValue *array)
{
	int			nelems = array->val.array.nElems;
	JsonbContainer *container = (JsonbContainer *) pad(to);
	char	   *start = (char *) &container->children[nelems];

	container->header = nelems | JB_FARRAY;
	to = start;
	for (int i = 0; i < nelems; i++)
	{
		JEntry		kind;
		char	   *end;

		CHECK_FOR_INTERRUPTS();
		end = write_value(to, &array->val.array.elems[i], &kind);
		container->children[i] = make_entry(i, kind, end - to, end - start);
		to = end;
	}
	return to;
}

Jsonb *
json_write(const JsonbValue *value)
{
	Size		space = VARHDRSZ + json_space(value);
	Jsonb	   *jsonb;
	JEntry		kind;
	char	   *end;

	/* A datum cannot be as large as memory; write_object() says it nicely. */
	jsonb = palloc_extended(space, MCXT_ALLOC_HUGE);

	end = write_value((char *) &jsonb->root, value, &kind);
	SET_VARSIZE(jsonb, end - (char *) jsonb);
	return jsonb;
}
