/*-------------------------------------------------------------------------
 *
 * config.h
 *		RudderStack's Config, read once so that it can be used many times.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_CONFIG_H
#define RSWEBHOOK_CONFIG_H

#include "base/pack.h"
#include "transform/config_mapped.h"
#include "transform/values.h"

/*
 * RudderStack's Config as jsonb, which must outlive it: of its webhook destination, or of
 * its HTTP destination, which has an apiUrl.  Raises an error if it
 * is not an object; what else is wrong is raised by transform_event, since
 * RudderStack asks nothing of the config of an event that passes through.
 */
extern TransformConfig *transform_config_from_jsonb(Jsonb *config);

/*
 * A config made of parts that are already checked: headers is an object of
 * name to value, or NULL.  url NULL means "none needed" (the endpoint is then
 * empty unless the event has a fullPath): the bare request of a method.  mapped
 * NULL: it makes requests as a webhook destination.  The parts are copied.
 */
extern TransformConfig *transform_config_from_parts(const char *url,
													const char *method,
													Jsonb *headers,
													const MappedParts *mapped);

/* One of parts, for destination_copy(); see base/pack.h. */
extern TransformConfig *transform_config_pack(Packing *packing, const TransformConfig *config);

/* May it take long to make a request?  Of one with templates, that is not known. */
extern bool transform_config_takes_time(const TransformConfig *config);

/* The methods there are, for people. */
#define METHODS_IN_WORDS "POST, PUT, PATCH, GET or DELETE"

/* The one that is spelled so, whatever the case; NULL: none. */
extern const char *config_method(const char *name);

/* ---- what it holds, for config.c and transform.c only ---- */

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
	const NamedValue *displaced;	/* a header in whose place is one that is named by
									 * the event; NULL: none */
	ConfigMapped *mapped;		/* NULL: it makes requests as a webhook destination */
	bool		of_parts;		/* and not RudderStack's Config */
	bool		of_templates;	/* what an event has made of some */
	Jsonb	   *templates;		/* a Config with such: it is read again for each event,
								 * and but for this nothing here is set; NULL: none */
	int			bad_header;		/* position of the first bad item, from 1; 0:
								 * none */
	const char *bad_header_detail;
};

/* Of one with templates, the keys for dynamic_resolve(). */
extern const char *const *transform_config_order(const TransformConfig *config);

/* What becomes of one with templates, as transform_config_from_jsonb(). */
extern TransformConfig *transform_config_resolved(Jsonb *resolved, const TransformConfig *templates);

typedef struct ConfigProblem
{
	const char *message;
	const char *detail;			/* as the hint, a sentence */
	const char *hint;			/* NULL: none */
} ConfigProblem;

/* False: what is wrong with it; and the same as an error. */
extern bool transform_config_is_good(const TransformConfig *config, ConfigProblem *problem);
extern void transform_config_check(const TransformConfig *config);

#endif							/* RSWEBHOOK_CONFIG_H */
