/*-------------------------------------------------------------------------
 *
 * config_mapped.h
 *		Of a Config, what makes requests by mappings alone, as RudderStack's HTTP
 *		destination does.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_CONFIG_MAPPED_H
#define RSWEBHOOK_CONFIG_MAPPED_H

#include "base/pack.h"
#include "transform/mapping.h"
#include "transform/values.h"

typedef struct ConfigMapped
{
	Mappings	lists[MAPPING_LISTS];
	bool		whole_event;	/* the body is that, and none of a mapping */
	BodyFormat	format;
	const char *xml_root;
	bool		fixed_type;		/* no header replaces Content-Type, and names are as written */
	bool		has_auth;
	NamedValue	auth;			/* a header */
	const char *problem;		/* with the Config, as a clause; NULL: none */
	const char *hint;			/* a sentence, or NULL */
} ConfigMapped;

/* Is it a Config of RudderStack's HTTP destination? */
extern bool config_mapped_is_http(Jsonb *config);

/*
 * Read one.  templates: what its strings were made of, or NULL.  What is wrong is only
 * remembered.
 */
extern ConfigMapped *config_mapped_from_http(Jsonb *config, Jsonb *templates);

/* What a destination that is stored has of it. */
typedef struct MappedParts
{
	Jsonb	   *lists[MAPPING_LISTS];	/* NULL: none */
	const char *format;			/* json, form or xml */
	const char *xml_root;		/* NULL: none */
} MappedParts;

/*
 * As members of a Config of our own, whose number is returned, and read from that again;
 * templates: as above.
 */
#define MAX_MAPPED_PAIRS	(MAPPING_LISTS + 2)
extern int	config_mapped_pairs(const MappedParts *parts, JsonbPair *pairs);
extern bool config_mapped_is_part(const JsonbValue *config);
extern ConfigMapped *config_mapped_from_part(const JsonbValue *config, const JsonbValue *templates);

/* Has it paths that may, and are asked within bounds? */
extern bool config_mapped_takes_time(const ConfigMapped *mapped);

extern ConfigMapped *config_mapped_pack(Packing *packing, const ConfigMapped *mapped);

#endif							/* RSWEBHOOK_CONFIG_MAPPED_H */
