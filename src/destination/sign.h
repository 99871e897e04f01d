/*-------------------------------------------------------------------------
 *
 * sign.h
 *		Signatures as Standard Webhooks 1.0 has them.
 *
 * A key is known by its text: "whsec_" and base64 of 24 to 64 bytes signs
 * with HMAC-SHA256 (v1), "whsk_" and base64 of an Ed25519 private key, 32
 * bytes or followed by its public key, signs with that (v1a).
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_SIGN_H
#define RSWEBHOOK_SIGN_H

#include "utils/jsonb.h"

/*
 * An event's messageId, if it can be its webhook-id; else NULL: it has one of ours, which
 * begins with that prefix.
 */
extern char *sign_message_id(Jsonb *event);

#define SIGN_OWN_ID_PREFIX	"rsw_"

/* NULL if it is a key, else a clause that says why not, without its text. */
extern const char *sign_key_problem(const char *key);

/* "v1,..." or "v1a,..." of the bytes; NULL if libcrypto cannot do that. */
extern char *sign_bytes(const char *key, const char *bytes, size_t len);

#endif							/* RSWEBHOOK_SIGN_H */
