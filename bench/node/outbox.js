/*
 * outbox.js
 *      A yardstick: the outbox worker that one writes by hand.
 *
 *  node outbox.js URL IN_FLIGHT
 *
 * Takes rows of bench.outbox in batches with FOR UPDATE SKIP LOCKED, posts
 * them, and deletes them at commit; what was not accepted is put back.  Two
 * loops, so that one posts while the other talks to the database.  Wakes up by
 * LISTEN.  Keeps no status rows, no order and no retry schedule: less than
 * rswebhook does.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 */
'use strict';

const { Client } = require('pg');
const { poster } = require('./post.js');

const LOOPS = 2;
const BATCH = 500;

const inFlight = Number(process.argv[3]);
const post = poster(process.argv[2], inFlight);

let sleepers = [];

function wakeAll() {
  const awake = sleepers;
  sleepers = [];
  awake.forEach((wake) => wake());
}

/* Rows of one batch; 0: there were none. */
async function once(db) {
  await db.query('BEGIN');
  const { rows } = await db.query({
    name: 'take',
    text: `DELETE FROM bench.outbox WHERE id = ANY (ARRAY(
             SELECT id FROM bench.outbox ORDER BY id LIMIT ${BATCH} FOR UPDATE SKIP LOCKED))
           RETURNING id, event::text AS event`
  });
  const accepted = await Promise.all(rows.map((row) => post(row.event)));
  const refused = rows.filter((row, i) => !accepted[i]);
  if (refused.length > 0) {
    await db.query('INSERT INTO bench.outbox (id, event) SELECT * FROM unnest($1::bigint[], $2::jsonb[])',
      [refused.map((row) => row.id), refused.map((row) => row.event)]);
  }
  await db.query('COMMIT');
  return rows.length;
}

async function loop() {
  const db = new Client();
  await db.connect();
  for (;;) {
    /* armed before looking, so that a notification in between is not lost */
    const woken = new Promise((wake) => sleepers.push(wake));
    if ((await once(db)) === 0) {
      await woken;
    }
  }
}

async function main() {
  const listener = new Client();
  await listener.connect();
  listener.on('notification', wakeAll);
  await listener.query('LISTEN bench_outbox');
  for (let i = 0; i < LOOPS; i++) {
    loop().catch((error) => {
      console.error(error);
      process.exit(1);
    });
  }
  console.log('ready');
}

main();
