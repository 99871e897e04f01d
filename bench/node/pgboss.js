/*
 * pgboss.js
 *      A yardstick: pg-boss, in large batches, polling as often as it can, and at
 *      once after a batch that was full.
 *
 *  node pgboss.js URL IN_FLIGHT
 *
 * Copyright (c) 2026, the rswebhook maintainers
 */
'use strict';

const PgBoss = require('pg-boss');
const { poster } = require('./post.js');

const WORKERS = 4;
const BATCH = 5000;

const inFlight = Number(process.argv[3]);
const post = poster(process.argv[2], inFlight);

async function main() {
  /* the socket's directory is in PGHOST, which a connection string cannot say */
  const boss = new PgBoss({ host: process.env.PGHOST, user: process.env.PGUSER,
    database: process.env.PGDATABASE, supervise: false, schedule: false });
  boss.on('error', (error) => console.error(error));
  await boss.start();
  await boss.createQueue('deliver');
  for (let i = 0; i < WORKERS; i++) {
    const options = { batchSize: BATCH, pollingIntervalSeconds: 0.5 };
    let id = null;
    id = await boss.work('deliver', options, async (jobs) => {
      const accepted = await Promise.all(jobs.map((job) => post(JSON.stringify(job.data))));
      if (accepted.includes(false)) {
        throw new Error('not accepted');
      }
      if (jobs.length === BATCH) {
        boss.notifyWorker(id);
      }
    });
  }
  console.log('ready');
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
