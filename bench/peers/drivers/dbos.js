// DBOS Transact: one workflow of one transaction an increment. Either queued, in a queue that is
// partitioned by the key and runs one workflow a partition, or called and awaited, with an advisory
// lock.
import { DBOS } from '@dbos-inc/dbos-sdk';
import { PostgresDataSource } from '@dbos-inc/postgres-datasource';
import pg from 'pg';
import { Drain, SELECT, UPDATE, callAndAwait, drawKeys, job, tell, timeSubmitting } from './job.js';

const QUEUE = 'read';
const UNDER_WAY = 50; // workflows a process runs at a time
const { PGHOST, PGPORT, PGUSER, PGDATABASE } = process.env;
const socket = encodeURIComponent(PGHOST);

const client = new pg.Client();
await client.connect();
await client.query('DROP SCHEMA IF EXISTS dbos CASCADE');

const quiet = () => {};
DBOS.setConfig({
  name: 'bench',
  systemDatabaseUrl: `postgresql://${PGUSER}@localhost:${PGPORT}/${PGDATABASE}?host=${socket}`,
  systemDatabasePoolSize: 20,
  logger: { info: quiet, debug: quiet, warn: quiet, error: (...words) => console.error(...words) },
});
const source = new PostgresDataSource('app', {
  host: PGHOST, port: Number(PGPORT), user: PGUSER, database: PGDATABASE, max: job.clients,
  onnotice: quiet,
});

let drain;
const locked = job.variant === 'advisory-lock';
const readMessage = source.registerTransaction(async (key) => {
  const sql = source.client;
  if (locked) await sql.unsafe('SELECT pg_advisory_xact_lock($1)', [key], { prepare: true });
  const [{ read }] = await sql.unsafe(SELECT, [key], { prepare: true });
  await sql.unsafe(UPDATE, [key, Number(read) + 1], { prepare: true });
}, { name: 'readMessage', isolationLevel: 'READ COMMITTED' });
const workflow = DBOS.registerWorkflow(async (key) => {
  await readMessage(key);
  drain?.done();
}, { name: 'read' });

async function queued() {
  const options = (key) => ({ queueName: QUEUE, enqueueOptions: { queuePartitionKey: `${key}` } });
  const keys = drawKeys();
  const submitted = await timeSubmitting(async () => {
    await Promise.all(Array.from({ length: job.clients }, async () => {
      while (keys.length > 0) {
        const key = keys.pop();
        await DBOS.startWorkflow(workflow, options(key))(key);
      }
    }));
  });
  await client.query('ANALYZE'); // what autovacuum does within a minute
  drain = new Drain();
  await DBOS.registerQueue(QUEUE, {
    partitionConcurrency: 1, workerConcurrency: UNDER_WAY, minPollingIntervalMs: 10,
  });
  await drain.finished;
  return submitted;
}

await DBOS.launch();
const submitted = locked ? await callAndAwait(workflow) : await queued();
await DBOS.shutdown({ workflowCompletionTimeoutMS: 20000 }); // what it has begun ends
tell({ ...drain?.figures(), ...submitted });
await client.end();
