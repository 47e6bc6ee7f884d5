// The stores of Node that are measured, and what a session holds: for worker.mjs and web.mjs.

import { createRequire } from "node:module";

const require = createRequire(import.meta.url);
const { BENCH_SUBJECT, BENCH_BACKEND, BENCH_URL, BENCH_POOL, BENCH_TABLE } = process.env;
const DAY = 86_400;

export const say = (value) => process.stdout.write(JSON.stringify(value) + "\n");
export const promise = (call) =>
  new Promise((resolve, reject) => call((error, result) => (error ? reject(error) : resolve(result))));

/** Makes the store, its table, and what differs between the two. */
export async function open() {
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
export function sample(bytes, seed) {
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
