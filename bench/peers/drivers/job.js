// The job that every system does, and how it is timed: read the row, add 1, write it.
//
// A driver gets what to do as JSON in its first argument, and prints what it did as a line of JSON.
// `executions` are those that the system has acknowledged, without `warmed`, which it did before
// the time was taken: a JavaScript engine is slow at first, and connections are opened. Whether
// each of them is in the counter is looked at by who started the driver.

import { readFileSync } from 'node:fs';

// variant, keys, seconds, count, clients, postmaster; of Restate its addresses
export const job = JSON.parse(process.argv[2]);
const SECONDS_MIN = 3;
const WARMING_MS = 500;
const WARMING_PART = 0.2; // of the jobs
const TICK_US = 10000; // of the times in /proc, on every Linux
export const UPDATE = 'UPDATE message SET read = $2 WHERE id = $1';
export const SELECT = 'SELECT read FROM message WHERE id = $1';

export const drawKey = () => 1 + Math.floor(Math.random() * job.keys);
export const drawKeys = () => Array.from({ length: job.count }, drawKey);

/** The work on a client of `pg` that is in a transaction; what excludes others is not in here. */
export async function increment(client, key) {
  const { rows } = await client.query({ name: 'seen', text: SELECT, values: [key] });
  await client.query({ name: 'save', text: UPDATE, values: [key, Number(rows[0].read) + 1] });
}

export async function inTransaction(client, work) {
  await client.query('BEGIN ISOLATION LEVEL READ COMMITTED');
  try {
    await work(client);
    await client.query('COMMIT');
  } catch (error) {
    await client.query('ROLLBACK');
    throw error;
  }
}

/** Times of a process in ticks: user, system, and both of its children that have ended. */
function ticks(pid) {
  try {
    return readFileSync(`/proc/${pid}/stat`, 'ascii').split(') ').pop().split(' ').slice(11, 15)
      .map(Number);
  } catch {
    return [0, 0, 0, 0]; // it has just ended
  }
}

/** Processor time of PostgreSQL's sessions, those that have ended and those that live. */
function serverUs() {
  const { postmaster } = job;
  const living = readFileSync(`/proc/${postmaster}/task/${postmaster}/children`, 'ascii').trim()
    .split(' ').map((pid) => ticks(pid).slice(0, 2));
  return [...living, ticks(postmaster).slice(2)].flat().reduce((a, b) => a + b, 0) * TICK_US;
}

class Span {
  #began = performance.now();
  #used = process.cpuUsage();
  #server = serverUs();

  figures(executions, endedAt = performance.now()) {
    const { user, system } = process.cpuUsage(this.#used);
    const seconds = (endedAt - this.#began) / 1000;
    return {
      executions, seconds, processor_us: user + system, server_us: serverUs() - this.#server,
    };
  }
}

/** So many callers, each calling and awaiting its answer, one after the other: the milliseconds. */
async function callFor(milliseconds, call) {
  const until = performance.now() + milliseconds;
  const took = [];
  await Promise.all(Array.from({ length: job.clients }, async () => {
    while (performance.now() < until) {
      const began = performance.now();
      await call(drawKey());
      took.push(performance.now() - began);
    }
  }));
  return took.sort((a, b) => a - b);
}

export async function callAndAwait(call) {
  const { length: warmed } = await callFor(WARMING_MS, call);
  const span = new Span();
  const took = await callFor(job.seconds * 1000, call);
  return { ...span.figures(took.length), p50_ms: took[took.length >> 1], warmed };
}

/** `submit` leaves all jobs in the queue. */
export async function timeSubmitting(submit) {
  const span = new Span();
  await submit();
  const { seconds } = span.figures(job.count);
  return { submitted_per_second: job.count / seconds };
}

/** Working off what was submitted: `done` for each, until none is left or the time is over. */
export class Drain {
  #span = new Span();
  #endedAt = performance.now();
  #finish;
  #warmed = 0;
  #done = 0;
  finished = new Promise((resolve) => { this.#finish = resolve; });

  constructor() {
    // A system may be slower than it was the last time; what is left is then left.
    this.timer = setTimeout(this.#finish, Math.max(SECONDS_MIN, 2 * job.seconds) * 1000);
  }

  done() {
    this.#done += 1;
    this.#endedAt = performance.now();
    if (this.#done === Math.round(WARMING_PART * job.count)) {
      this.#warmed = this.#done;
      this.#span = new Span();
    }
    if (this.#done >= job.count) {
      clearTimeout(this.timer);
      this.#finish();
    }
  }

  /** After the workers have stopped, so that what they had begun has ended. */
  figures() {
    const figures = this.#span.figures(this.#done - this.#warmed, this.#endedAt);
    return { ...figures, warmed: this.#warmed };
  }
}

export function tell(figures) {
  process.stdout.write(`${JSON.stringify(figures)}\n`);
}
