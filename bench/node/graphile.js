/*
 * graphile.js
 *      A yardstick: graphile-worker with the settings of its page about
 *      performance.
 *
 *  node graphile.js URL IN_FLIGHT
 *
 * Copyright (c) 2026, the rswebhook maintainers
 */
'use strict';

const { Logger, run } = require('graphile-worker');
const { Pool } = require('pg');
const { poster } = require('./post.js');

const inFlight = Number(process.argv[3]);
const post = poster(process.argv[2], inFlight);

async function main() {
  const pgPool = new Pool({ max: inFlight + 1 });
  pgPool.on('error', console.error);
  pgPool.on('connect', (client) => client.on('error', console.error));
  await run({
    pgPool,
    noHandleSignals: true,
    preset: {
      worker: {
        concurrentJobs: inFlight,
        maxPoolSize: inFlight + 1,
        localQueue: { size: 5000 },
        completeJobBatchDelay: 5,
        failJobBatchDelay: 0
      }
    },
    taskList: {
      deliver: async (event) => {
        if (!(await post(JSON.stringify(event)))) {
          throw new Error('not accepted');
        }
      }
    },
    logger: new Logger(() => () => {})
  });
  console.log('ready');
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
