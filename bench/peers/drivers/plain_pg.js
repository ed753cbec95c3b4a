// Plain `pg`: a pool, and the transaction of bench/by_hand/round_trips.sql with its advisory lock.
import pg from 'pg';
import { callAndAwait, inTransaction, increment, job, tell } from './job.js';

const LIMITS = `SELECT set_config('lock_timeout', '10000', true),
  set_config('statement_timeout', '15000', true),
  set_config('idle_in_transaction_session_timeout', '5000', true)`;

const pool = new pg.Pool({ max: job.clients });
const figures = await callAndAwait(async (key) => {
  const client = await pool.connect();
  try {
    await inTransaction(client, async () => {
      await client.query({ name: 'limits', text: LIMITS });
      await client.query({ name: 'lock', text: 'SELECT pg_advisory_xact_lock($1)', values: [key] });
      await increment(client, key);
    });
  } finally {
    client.release();
  }
});
await pool.end();
tell(figures);
