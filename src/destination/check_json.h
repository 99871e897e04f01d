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

extern bool check_headers(Jsonb **headers, FieldProblem *problem);
extern bool check_signing_secrets(Jsonb **secrets, FieldProblem *problem);
extern bool check_status_outcomes(Jsonb *map, FieldProblem *problem);

/* Of a value that has passed the check. */
extern void signing_secrets_read(Jsonb *secrets, SigningSecret **list, int *count);

/* Of a value that has passed the check: sorted by status, none twice. */
extern void status_outcomes_read(Jsonb *outcomes, StatusOutcome **list,
								 int *count);

#endif							/* RSWEBHOOK_CHECK_JSON_H */
