// Restate: a virtual object a key, which handles one call at a time; its handler does the increment
// in a step that the server journals. Called through the server's ingress and awaited, or sent.
import { serve, object } from '@restatedev/restate-sdk';
import { connect } from '@restatedev/restate-sdk-clients';
import pg from 'pg';
import { Drain, callAndAwait, drawKeys, inTransaction, increment, job, tell, timeSubmitting }
  from './job.js';

const CONNECTIONS = 16;
const pool = new pg.Pool({ max: CONNECTIONS });
let drain;
const message = object({
  name: 'message',
  handlers: {
    read: async (ctx) => {
      await ctx.run('read', async () => {
        const client = await pool.connect();
        try {
          await inTransaction(client, () => increment(client, Number(ctx.key)));
        } finally {
          client.release();
        }
      });
      drain?.done();
    },
  },
});

const quiet = () => {};
const port = await serve({ services: [message], port: 0, logger: quiet });
const answer = await fetch(`${job.admin}/deployments`, {
  method: 'POST',
  headers: { 'content-type': 'application/json' },
  body: JSON.stringify({ uri: `http://127.0.0.1:${port}`, force: true }),
});
if (!answer.ok) throw new Error(`deployment: ${answer.status} ${await answer.text()}`);

/** A job is done for the server only when it has written that down. */
async function pending() {
  const asked = await fetch(`${job.admin}/query`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', accept: 'application/json' },
    body: JSON.stringify({
      query: "SELECT count(*) AS n FROM sys_invocation_status WHERE status <> 'completed'",
    }),
  });
  if (!asked.ok) throw new Error(`query: ${asked.status} ${await asked.text()}`);
  return (await asked.json()).rows[0].n;
}

const ingress = connect({ url: job.ingress });
async function sent() {
  const keys = drawKeys();
  drain = new Drain(); // the server begins with the first
  const submitted = await timeSubmitting(() => Promise.all(
    Array.from({ length: job.clients }, async () => {
      while (keys.length > 0) await ingress.objectSendClient(message, `${keys.pop()}`).read();
    })));
  await drain.finished;
  while (await pending() > 0) await new Promise((resolve) => setTimeout(resolve, 20));
  return { ...submitted, ...drain.figures() };
}

const figures = job.variant === 'sent'
  ? await sent() : await callAndAwait((key) => ingress.objectClient(message, `${key}`).read());
await pool.end();
tell(figures);
process.exit(0); // the service itself listens for ever
