/*-------------------------------------------------------------------------
 *
 * config.h
 *		What a TransformConfig holds, for config.c and transform.c only.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_CONFIG_H
#define RSWEBHOOK_CONFIG_H

#include "rswebhook.h"

typedef enum MethodKind
{
	METHOD_OTHER,				/* passed on with neither body nor params */
	METHOD_BODY,
	METHOD_PARAMS
} MethodKind;

struct TransformConfig
{
	bool		url_needed;		/* an error without one */
	bool		url_given;
	JsonbValue	url;			/* string */
	JsonbValue	method;
	MethodKind	method_kind;
	NamedValues headers;		/* settled, names in lower case */
	bool		sets_content_type;	/* or takes it away */
	int			bad_header;		/* position of the first bad item, from 1; 0:
								 * none */
	const char *bad_header_detail;
};

/* Raise what is wrong with it. */
extern void transform_config_check(const TransformConfig *config);

#endif							/* RSWEBHOOK_CONFIG_H */
