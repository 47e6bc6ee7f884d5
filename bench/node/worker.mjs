// The benchmark's peers on Node: connect-typeorm and connect-pg-simple, each in one process, as they are used.
// It takes the same orders and does the same work as the programs in Rust: see harness/src.

import { randomBytes } from "node:crypto";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";

import { open, promise, sample, say } from "./stores.mjs";

const WARM_UP = 150;
const HELPERS = 64;

const newId = () => randomBytes(24).toString("base64url");

const peer = await open();
const { store } = peer;
let sessions = [];
let bytes = 1024;
let createsPerSecond = 1_000;

const operations = {
  load: async (id) => {
    if (!(await promise((done) => store.get(id, done)))) throw new Error("a session that was never destroyed is gone");
  },
  save: (id, data) => promise((done) => store.set(id, data, done)),
  touch: (id, data) => promise((done) => store.touch(id, data, done)),
  destroy: (id) => peer.destroy(id),
  create: async (data) => {
    const id = newId();
    await promise((done) => store.set(id, data, done));
    return id;
  },
};

async function inParallel(count, work) {
  let next = 0;
  await Promise.all(
    Array.from({ length: HELPERS }, async (_, helper) => {
      const data = sample(bytes, helper);
      while (next < count) await work(next++, data);
    }),
  );
}

async function create(count, expired = false) {
  const ids = [];
  await inParallel(count, async (_, data) => {
    if (!expired) return ids.push(await operations.create(data));
    const id = newId();
    await peer.createExpired(id, data);
    ids.push(id);
  });
  return ids;
}

/** One caller, until the run is over. */
async function work(run, caller) {
  const data = sample(bytes, caller);
  const own = [];
  while (run.phase !== "over") {
    if (run.workload === "destroy" && run.phase === "warming") {
      await sleep(1);
      continue;
    }
    const phase = run.phase;
    const id = sessions[Math.floor(Math.random() * sessions.length)];
    let kind = run.workload;
    if (kind === "mixed") {
      const roll = Math.random() * 100;
      kind = roll < 80 ? "load" : roll < 90 ? "touch" : roll < 95 ? "save" : roll < 98 || !own.length ? "create" : "destroy";
    }
    const begin = process.hrtime.bigint();
    try {
      if (kind === "create") own.push(await operations.create(data));
      else if (kind === "destroy" && run.workload === "destroy") {
        if (run.next >= run.stock.length) break;
        await operations.destroy(run.stock[run.next++]);
      } else if (kind === "destroy") await operations.destroy(own.pop());
      else await operations[kind](id, data);
      if (phase === "measuring" && run.phase === "measuring") {
        run.latencies.push(Number(process.hrtime.bigint() - begin) / 1_000);
      }
    } catch (error) {
      run.errors += 1;
      run.firstError ??= String(error.message ?? error);
    }
  }
  run.created.push(...own);
}

/** Lets callers work while `measured` goes on. */
async function shift(workload, callers, stock, measured) {
  const run = { workload, phase: "warming", stock, next: 0, latencies: [], errors: 0, created: [] };
  const workers = Promise.all(Array.from({ length: callers }, (_, caller) => work(run, caller)));
  if (workload !== "destroy") await sleep(WARM_UP);
  say({ event: "begin" });
  const cpu = process.cpuUsage();
  const begin = process.hrtime.bigint();
  run.phase = "measuring";
  await measured(workers);
  const seconds = Number(process.hrtime.bigint() - begin) / 1e9;
  const { user, system } = process.cpuUsage(cpu);
  run.phase = "over";
  say({ event: "end" });
  await workers;
  const rest = [...run.created, ...stock.slice(run.next)];
  await inParallel(rest.length, (index) => operations.destroy(rest[index]));
  const sorted = Float64Array.from(run.latencies).sort();
  const at = (share) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
  return {
    ops: sorted.length,
    seconds,
    p50_us: at(0.5),
    p99_us: at(0.99),
    max_us: at(1),
    client_cpu_seconds: (user + system) / 1e6,
    errors: run.errors,
    first_error: run.firstError ?? null,
  };
}

const orders = {
  async prepare(order) {
    bytes = order.bytes;
    const begin = Date.now();
    sessions = await create(order.sessions);
    createsPerSecond = order.sessions / Math.max(0.001, (Date.now() - begin) / 1_000);
    return { sessions: sessions.length };
  },
  async run({ workload, callers, millis }) {
    const wanted = createsPerSecond * 1.2 * ((millis + WARM_UP) / 1_000);
    const stock = workload === "destroy" ? await create(Math.round(Math.min(30_000, Math.max(500, wanted)))) : [];
    return shift(workload, callers, stock, (workers) => Promise.race([sleep(millis), workers]));
  },
  async purge({ expired, callers }) {
    await create(expired, true);
    let seconds = 0;
    const result = await shift("mixed", callers, [], async () => {
      const begin = Date.now();
      await peer.purge();
      seconds = (Date.now() - begin) / 1_000;
    });
    return { ...result, purged_per_second: expired / Math.max(0.001, seconds) };
  },
};

say({ ready: true, settings: peer.settings });
for await (const line of createInterface({ input: process.stdin })) {
  const order = JSON.parse(line);
  try {
    say(await orders[order.order](order));
  } catch (error) {
    say({ failed: String(error.message ?? error) });
  }
}
process.exit(0);
