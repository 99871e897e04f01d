/*-------------------------------------------------------------------------
 *
 * check_mapping.h
 *		The rules of header_mapping, query_mapping, path_parts, body_mapping, format and
 *		xml_root.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_CHECK_MAPPING_H
#define RSWEBHOOK_CHECK_MAPPING_H

#include "destination/fields.h"
#include "destination/problem.h"

/* headers must have passed their own check. */
extern bool destination_mappings_check(const DestinationFields *fields, FieldProblem *problem);

/*
 * Is a request made of an event as RudderStack's HTTP destination does, by these columns
 * alone?
 */
extern bool destination_is_mapped(const DestinationFields *fields);

#endif							/* RSWEBHOOK_CHECK_MAPPING_H */
