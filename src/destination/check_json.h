/*-------------------------------------------------------------------------
 *
 * check_json.h
 *		The rules of the JSON columns of rswebhook.destination: headers,
 *		signing_secrets and status_outcomes.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_CHECK_JSON_H
#define RSWEBHOOK_CHECK_JSON_H

#include "destination/fields.h"
#include "destination/problem.h"
#include "destination/values.h"

extern bool destination_headers_check(Jsonb **headers, FieldProblem *problem);
extern bool destination_secrets_check(Jsonb **secrets, FieldProblem *problem);
extern bool destination_outcomes_check(Jsonb *map, FieldProblem *problem);

/* Of a value that has passed the check. */
extern void destination_secrets_read(Jsonb *secrets, SigningSecret **list, int *count);

/* Of a value that has passed the check: sorted by status, none twice. */
extern void destination_outcomes_read(Jsonb *outcomes, StatusOutcome **list,
									  int *count);

#endif							/* RSWEBHOOK_CHECK_JSON_H */
