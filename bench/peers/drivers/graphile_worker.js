// graphile-worker: one job an increment, in the queue that is named by the key, which runs its jobs
// one at a time. A task's work is in a transaction of its own; the job is completed after it.
import { Logger, makeWorkerUtils, run } from 'graphile-worker';
import pg from 'pg';
import { Drain, drawKeys, inTransaction, increment, job, tell, timeSubmitting } from './job.js';

// What its page on performance names, with the default interval and with a short one: who finds no
// job because that of its queue is still running sleeps for an interval.
const PERFORMANCE_PAGE = {
  concurrentJobs: 24,
  maxPoolSize: 25,
  localQueue: { size: 500 },
  completeJobBatchDelay: 0,
  failJobBatchDelay: 0,
};
const SETTINGS = {
  default: PERFORMANCE_PAGE,
  'short-poll': { ...PERFORMANCE_PAGE, pollInterval: 1 },
};
const BATCH = 1000;

const quiet = new Logger(() => (level, message) => {
  if (level === 'error') console.error(message);
});
const preset = { worker: { logger: quiet, ...SETTINGS[job.variant] } };
const pool = new pg.Pool({ max: preset.worker.maxPoolSize });
pool.on('error', (error) => console.error(error.message));
pool.on('connect', (client) => client.on('error', (error) => console.error(error.message)));
await pool.query('DROP SCHEMA IF EXISTS graphile_worker CASCADE');
const utils = await makeWorkerUtils({ pgPool: pool, preset });
await utils.migrate();

const submitted = await timeSubmitting(async () => {
  const specs = drawKeys().map((key) => ({
    identifier: 'read', payload: { key }, queueName: `message/${key}`,
  }));
  for (let i = 0; i < specs.length; i += BATCH) await utils.addJobs(specs.slice(i, i + BATCH));
});
await pool.query('ANALYZE'); // what autovacuum does within a minute

const drain = new Drain();
const runner = await run({
  pgPool: pool,
  preset,
  noHandleSignals: true,
  taskList: {
    read: ({ key }, { withPgClient }) =>
      withPgClient((client) => inTransaction(client, () => increment(client, key))),
  },
});
runner.events.on('job:success', () => drain.done());
await drain.finished;
await runner.stop();
tell({ ...drain.figures(), ...submitted });
await utils.release();
await pool.end();
