/*-------------------------------------------------------------------------
 *
 * sign.c
 *		Signatures as Standard Webhooks 1.0 has them.
 *
 * What is signed is "<webhook-id>.<webhook-timestamp>.<body>", put together
 * by the caller.  All cryptography is libcrypto's; one path serves both kinds
 * of keys, since to libcrypto an HMAC is a signature, too.
 *
 * libcrypto's objects are not PostgreSQL's to free, so nothing throws while
 * one is held.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>

#include "access/htup_details.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"

#include "base/base64.h"
#include "base/compat.h"
#include "destination/sign.h"

#define HMAC_PREFIX			"whsec_"
#define PRIVATE_PREFIX		"whsk_"
#define PUBLIC_PREFIX		"whpk_"

#define HMAC_MIN_BYTES		24
#define HMAC_MAX_BYTES		64
#define HMAC_NEW_BYTES		32
#define ED25519_BYTES		32	/* of a private key, and of a public one */

#define MAX_SIGNATURE		64

typedef struct SigningKey
{
	int			type;			/* EVP_PKEY_HMAC or EVP_PKEY_ED25519 */
	int			len;
	unsigned char bytes[72];	/* room for padding that is decoded to zeroes */
} SigningKey;

SQL_FUNCTION(rswebhook_generate_secret);
SQL_FUNCTION(rswebhook_generate_key_pair);

/* ---------------------------------------------------------------------
 * Keys
 * ---------------------------------------------------------------------
 */

static EVP_PKEY *
new_pkey(const SigningKey *key)
{
	EVP_PKEY   *pkey = EVP_PKEY_new_raw_private_key(key->type, NULL, key->bytes,
													key->type == EVP_PKEY_HMAC ? key->len : ED25519_BYTES);

	if (pkey == NULL)
		ERR_clear_error();
	return pkey;
}

static bool
public_key(const SigningKey *key, unsigned char *public)
{
	EVP_PKEY   *pkey = new_pkey(key);
	size_t		len = ED25519_BYTES;
	bool		ok;

	if (pkey == NULL)
		return false;
	ok = EVP_PKEY_get_raw_public_key(pkey, public, &len) == 1;
	EVP_PKEY_free(pkey);
	return ok;
}

/* NULL, or what is wrong with the text. */
static const char *
read_key(const char *text, SigningKey *key)
{
	if (strncmp(text, HMAC_PREFIX, strlen(HMAC_PREFIX)) == 0)
	{
		key->type = EVP_PKEY_HMAC;
		key->len = base64_decode(text + strlen(HMAC_PREFIX), key->bytes, sizeof(key->bytes));
		if (key->len < HMAC_MIN_BYTES || key->len > HMAC_MAX_BYTES)
			return "what follows \"whsec_\" is not base64 of 24 to 64 bytes";
		return NULL;
	}
	if (strncmp(text, PRIVATE_PREFIX, strlen(PRIVATE_PREFIX)) == 0)
	{
		key->type = EVP_PKEY_ED25519;
		key->len = base64_decode(text + strlen(PRIVATE_PREFIX), key->bytes, sizeof(key->bytes));
		if (key->len != ED25519_BYTES && key->len != 2 * ED25519_BYTES)
			return "what follows \"whsk_\" is not base64 of an Ed25519 private key of 32 or 64 bytes";
		return NULL;
	}
	if (strncmp(text, PUBLIC_PREFIX, strlen(PUBLIC_PREFIX)) == 0)
		return "it is a public key, and only a private one can sign";
	return "it begins neither with \"whsec_\" nor with \"whsk_\"";
}

const char *
sign_key_problem(const char *text)
{
	SigningKey	key;
	const char *problem = read_key(text, &key);
	unsigned char public[ED25519_BYTES];

	if (problem == NULL && key.len == 2 * ED25519_BYTES && key.type == EVP_PKEY_ED25519 &&
		(!public_key(&key, public) ||
		 memcmp(public, key.bytes + ED25519_BYTES, ED25519_BYTES) != 0))
		problem = "the second half of the Ed25519 key is not the public key of the first";
	OPENSSL_cleanse(&key, sizeof(key));
	return problem;
}

/* ---------------------------------------------------------------------
 * Signing
 * ---------------------------------------------------------------------
 */

static bool
make_signature(const SigningKey *key, const char *bytes, size_t len,
			   unsigned char *signature, size_t *signature_len)
{
	EVP_PKEY   *pkey = new_pkey(key);
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	const EVP_MD *digest = key->type == EVP_PKEY_HMAC ? EVP_sha256() : NULL;
	bool		ok;

	ok = pkey != NULL && context != NULL &&
		EVP_DigestSignInit(context, NULL, digest, NULL, pkey) == 1 &&
		EVP_DigestSign(context, signature, signature_len,
					   (const unsigned char *) bytes, len) == 1;
	EVP_MD_CTX_free(context);
	EVP_PKEY_free(pkey);
	if (!ok)
		ERR_clear_error();
	return ok;
}

char *
sign_bytes(const char *text, const char *bytes, size_t len)
{
	SigningKey	key;
	unsigned char signature[MAX_SIGNATURE];
	size_t		signature_len = sizeof(signature);
	bool		ok = read_key(text, &key) == NULL &&
		make_signature(&key, bytes, len, signature, &signature_len);
	const char *version = ok && key.type == EVP_PKEY_HMAC ? "v1" : "v1a";

	OPENSSL_cleanse(&key, sizeof(key));
	if (!ok)
		return NULL;
	return psprintf("%s,%s", version, base64_encode(signature, signature_len));
}

/* ---------------------------------------------------------------------
 * New keys
 * ---------------------------------------------------------------------
 */

static void
fill_randomly(unsigned char *bytes, int len)
{
	if (!pg_strong_random(bytes, len))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not generate random bytes")));
}

/* rswebhook_generate_secret() */
Datum
rswebhook_generate_secret(PG_FUNCTION_ARGS)
{
	unsigned char bytes[HMAC_NEW_BYTES];

	fill_randomly(bytes, sizeof(bytes));
	PG_RETURN_TEXT_P(cstring_to_text(psprintf("%s%s", HMAC_PREFIX,
											  base64_encode(bytes, sizeof(bytes)))));
}

/* rswebhook_generate_key_pair(OUT private_key, OUT public_key) */
Datum
rswebhook_generate_key_pair(PG_FUNCTION_ARGS)
{
	SigningKey	key = {.type = EVP_PKEY_ED25519};
	unsigned char *public = key.bytes + ED25519_BYTES;
	TupleDesc	desc;
	Datum		values[2];
	bool		nulls[2] = {false, false};

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	fill_randomly(key.bytes, ED25519_BYTES);
	if (!public_key(&key, public))
		ereport(ERROR,
				(errcode(ERRCODE_EXTERNAL_ROUTINE_EXCEPTION),
				 errmsg("libcrypto could not generate an Ed25519 key")));

	values[0] = CStringGetTextDatum(psprintf("%s%s", PRIVATE_PREFIX,
											 base64_encode(key.bytes, 2 * ED25519_BYTES)));
	values[1] = CStringGetTextDatum(psprintf("%s%s", PUBLIC_PREFIX,
											 base64_encode(public, ED25519_BYTES)));
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}

#define MAX_WEBHOOK_ID	255

/*
 * A dot ends the id in what is signed, so an id with one could be taken for another
 * id of another event; and so may a messageId that looks like ours.
 */
char *
sign_message_id(Jsonb *event)
{
	JsonbValue	id;
	bool		usable;

	usable = getKeyJsonValueFromContainer(&event->root, "messageId", strlen("messageId"), &id) != NULL &&
		id.type == jbvString && id.val.string.len > 0 &&
		id.val.string.len <= MAX_WEBHOOK_ID &&
		(id.val.string.len < (int) strlen(SIGN_OWN_ID_PREFIX) ||
		 memcmp(id.val.string.val, SIGN_OWN_ID_PREFIX, strlen(SIGN_OWN_ID_PREFIX)) != 0);
	for (int i = 0; usable && i < id.val.string.len; i++)
	{
		char		c = id.val.string.val[i];

		usable = c > ' ' && c <= '~' && c != '.';
	}
	return usable ? pnstrdup(id.val.string.val, id.val.string.len) : NULL;
}
