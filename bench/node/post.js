/*
 * post.js
 *      One way to post an event for all the yardsticks: undici's pool.
 *
 * Copyright (c) 2026, the rswebhook maintainers
 */
'use strict';

const { Pool } = require('undici');

/* Returns a function that posts JSON text and tells whether it was accepted. */
exports.poster = function poster(url, inFlight) {
  const { origin, pathname } = new URL(url);
  const pool = new Pool(origin, { connections: inFlight, pipelining: 1 });
  const headers = { 'content-type': 'application/json', 'user-agent': 'RudderLabs' };

  return async function post(body) {
    try {
      const answer = await pool.request({ path: pathname, method: 'POST', headers, body });
      await answer.body.dump();
      return answer.statusCode >= 200 && answer.statusCode <= 299;
    } catch {
      return false;
    }
  };
};
