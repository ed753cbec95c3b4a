// pg-boss: one job an increment. Of a queue with the policy `singleton` one job a key is active; a
// group of one is the other documented way. The handler's work and the job's completion are one
// transaction.
import { PgBoss } from 'pg-boss';
import pg from 'pg';
import { Drain, SELECT, UPDATE, drawKeys, job, tell, timeSubmitting } from './job.js';

const QUEUE = 'read';
const BATCH = 1000;
const connection = { host: process.env.PGHOST, user: process.env.PGUSER,
  database: process.env.PGDATABASE, port: Number(process.env.PGPORT) };
const VARIANTS = {
  singleton: {
    queue: { policy: 'singleton' },
    job: (key) => ({ singletonKey: `message/${key}` }),
    work: {},
  },
  group: {
    queue: { policy: 'standard' },
    job: (key) => ({ group: { id: `message/${key}` } }),
    work: { groupConcurrency: 1 },
  },
};
const variant = VARIANTS[job.variant];

function boss(options = {}) {
  const made = new PgBoss({ ...connection, max: 2 * job.clients, ...options });
  made.on('error', (error) => console.error(error.message));
  return made;
}

const client = new pg.Client();
await client.connect();
await client.query('DROP SCHEMA IF EXISTS pgboss CASCADE');

const sender = await boss().start();
await sender.createQueue(QUEUE, variant.queue);
const submitted = await timeSubmitting(async () => {
  const jobs = drawKeys().map((key) => ({ data: { key }, ...variant.job(key) }));
  for (let i = 0; i < jobs.length; i += BATCH) {
    await sender.insert(QUEUE, jobs.slice(i, i + BATCH));
  }
});
await sender.supervise(QUEUE); // counts the backlog, by which workers know to fetch without a pause
await sender.stop();
await client.query('ANALYZE'); // what autovacuum does within a minute

const workers = await boss({ supervise: false, schedule: false, migrate: false }).start();
const drain = new Drain();
await workers.work(QUEUE, {
  localConcurrency: job.clients,
  pollingIntervalSeconds: 0.5,
  burstWhenReadyExceeds: 1,
  transactional: true,
  ...variant.work,
}, async ([{ data: { key } }], tx) => {
  const { rows } = await tx.executeSql(SELECT, [key]);
  await tx.executeSql(UPDATE, [key, Number(rows[0].read) + 1]);
  drain.done();
});
await drain.finished;
await workers.stop({ graceful: true });
// A handler is done before its transaction is committed, so what counts is what was.
const { rows } = await client.query(
  "SELECT count(*) FROM pgboss.job WHERE name = $1 AND state = 'completed'", [QUEUE]);
const figures = drain.figures();
tell({ ...figures, ...submitted, warmed: Number(rows[0].count) - figures.executions });
await client.end();
