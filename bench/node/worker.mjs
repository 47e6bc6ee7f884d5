// The benchmark's peers on Node: connect-typeorm and connect-pg-simple, each in one process, as they are used.
// It takes the same orders and does the same work as the programs in Rust: see harness/src.

import { randomBytes } from "node:crypto";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";

const require = createRequire(import.meta.url);
const { BENCH_SUBJECT, BENCH_BACKEND, BENCH_URL, BENCH_POOL, BENCH_TABLE } = process.env;
const DAY = 86_400;
const WARM_UP = 150;
const HELPERS = 64;

const say = (value) => process.stdout.write(JSON.stringify(value) + "\n");
const promise = (call) =>
  new Promise((resolve, reject) => call((error, result) => (error ? reject(error) : resolve(result))));
const newId = () => randomBytes(24).toString("base64url");

/** Makes the store, its table, and what differs between the two. */
async function open() {
  if (BENCH_SUBJECT === "connect-typeorm") return openTypeorm();
  if (BENCH_SUBJECT === "connect-pg-simple") return openPgSimple();
  throw new Error(`there is no ${BENCH_SUBJECT} here`);
}

async function openTypeorm() {
  const { DataSource, EntitySchema, LessThanOrEqual } = require("typeorm");
  const { TypeormStore } = require("connect-typeorm");
  const Session = new EntitySchema({
    name: "Session",
    tableName: BENCH_TABLE,
    columns: {
      expiredAt: { type: "bigint" },
      id: { type: "varchar", length: 255, primary: true },
      json: { type: "text" },
      destroyedAt: { type: BENCH_BACKEND === "mysql" ? "datetime" : "timestamp", deleteDate: true, nullable: true },
    },
    indices: [{ columns: ["expiredAt"] }],
  });
  const pool = Number(BENCH_POOL);
  const source = await new DataSource({
    type: BENCH_BACKEND,
    url: BENCH_URL,
    entities: [Session],
    synchronize: true,
    poolSize: pool,
    extra: BENCH_BACKEND === "mysql" ? { connectionLimit: pool } : { max: pool },
  }).initialize();
  const repository = source.getRepository(Session);
  const store = new TypeormStore({ ttl: DAY }).connect(repository);
  store.on("disconnect", () => {});
  return {
    store,
    settings: `one Node process, pool of ${pool}, ttl, no cleanupLimit`,
    // Its destroy calls back before the statement is sent; this is the same statement, awaited.
    destroy: (id) => repository.softDelete({ id }),
    createExpired: (id, session) =>
      repository.insert({ id, json: JSON.stringify(session), expiredAt: Date.now() - 1_000 }),
    purge: () => repository.delete({ expiredAt: LessThanOrEqual(Date.now()) }),
  };
}

async function openPgSimple() {
  const { Pool } = require("pg");
  const session = require("express-session");
  const PgSession = require("connect-pg-simple")(session);
  const pool = new Pool({ connectionString: BENCH_URL, max: Number(BENCH_POOL) });
  const store = new PgSession({
    pool,
    tableName: BENCH_TABLE,
    createTableIfMissing: true,
    ttl: DAY,
    pruneSessionInterval: false,
  });
  return {
    store,
    settings: `one Node process, pool of ${BENCH_POOL}`,
    destroy: (id) => promise((done) => store.destroy(id, done)),
    createExpired: (id, data) =>
      promise((done) => store.set(id, { ...data, cookie: { expires: new Date(Date.now() - 5_000) } }, done)),
    purge: () => promise((done) => store.pruneSessions(done)),
  };
}

/** Data of about `bytes` bytes of JSON, like that of harness/src/data.rs. */
function sample(bytes, seed) {
  const data = {
    cookie: { originalMaxAge: null, expires: null, httpOnly: true, path: "/" },
    user: { id: seed, name: "Ada Lovelace", roles: ["member", "editor"] },
    csrf: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    language: "en-GB",
    seen: [1, 1, 2, 3, 5, 8, 13, 21, 34],
    basket: Array.from({ length: 6 }, (_, item) => ({ sku: `A-000${item}`, count: item + 1, price: 19.9 })),
  };
  data.note = "n".repeat(Math.max(0, bytes - JSON.stringify(data).length - 10));
  return data;
}

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
