/*
 * pgboss.js
 *      A yardstick: pg-boss, in large batches and polling as often as it can.
 *
 *  node pgboss.js URL IN_FLIGHT
 *
 * Copyright (c) 2026, the rswebhook maintainers
 */
'use strict';

const PgBoss = require('pg-boss');
const { poster } = require('./post.js');

const WORKERS = 4;
const BATCH = 500;

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
    await boss.work('deliver', { batchSize: BATCH, pollingIntervalSeconds: 0.5 }, async (jobs) => {
      const accepted = await Promise.all(jobs.map((job) => post(JSON.stringify(job.data))));
      if (accepted.includes(false)) {
        throw new Error('not accepted');
      }
    });
  }
  console.log('ready');
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
