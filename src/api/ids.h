/*-------------------------------------------------------------------------
 *
 * ids.h
 *		An event's id, from a sequence that somebody may have set back.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 *
 *-------------------------------------------------------------------------
 */
#ifndef RSWEBHOOK_IDS_H
#define RSWEBHOOK_IDS_H

#include "utils/rel.h"

/* events: rswebhook.event, locked; ring_part: where the event will be. */
extern int64 ids_next(Relation events, int16 ring_part);

/*
 * Will those of this transaction be had without an error, and be nobody else's in this
 * part of rswebhook.event?  Not by rows that are put there by hand after the transaction's first look.
 */
extern bool ids_are_plain(Relation part);

#endif							/* RSWEBHOOK_IDS_H */
