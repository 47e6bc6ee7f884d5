// A web application as people run it today: express, express-session, and connect-typeorm or connect-mssql-v2 on one
// database. The other half of the pair is examples/express_twin.rs: the same routes, the same cookie, the same table.
//
// Usage: DATABASE_URL=… node app.js PORT LAYOUT [--create-table]
// LAYOUT is connect-typeorm or connect-mssql-v2. The URL is `sqlite:PATH`, `postgres://…`, `mysql://…`, or an ADO.NET
// connection string. It prints `listening on 127.0.0.1:PORT` when it takes requests; port 0 takes a free one.
'use strict';

require('reflect-metadata');
const express = require('express');
const session = require('express-session');
const stores = { 'connect-typeorm': typeormStore, 'connect-mssql-v2': mssqlStore };

const SECRET = 'keyboard cat';
const HOUR = 3_600_000;

async function typeormStore(url, makeTable) {
  const { TypeormStore } = require('connect-typeorm');
  const { DataSource, EntitySchema } = require('typeorm');
  // The entity of connect-typeorm's README.
  const Session = new EntitySchema({
    name: 'Session',
    tableName: 'session',
    columns: {
      expiredAt: { type: 'bigint' },
      id: { type: 'varchar', length: 255, primary: true },
      json: { type: 'text' },
      destroyedAt: { type: Date, deleteDate: true, nullable: true },
    },
    indices: [{ columns: ['expiredAt'] }],
  });
  const source = await new DataSource({ ...dataSource(url), entities: [Session] }).initialize();
  if (makeTable) await source.synchronize();
  const store = new TypeormStore({ cleanupLimit: 2, limitSubquery: false });
  return store.connect(source.getRepository(Session));
}

function dataSource(url) {
  if (url.startsWith('sqlite:')) {
    // libsql has better-sqlite3's interface, and comes compiled from the registry.
    return { type: 'better-sqlite3', driver: require('libsql'), database: url.slice('sqlite:'.length) };
  }
  if (url.startsWith('postgres')) return { type: 'postgres', url };
  if (url.startsWith('mysql:')) return { type: 'mariadb', url: url.replace(/^mysql:/, 'mariadb:'), bigNumberStrings: false };
  const { server, user, ...rest } = mssqlConfig(url);
  return { type: 'mssql', host: server, username: user, ...rest };
}

async function mssqlStore(url, makeTable) {
  const MSSQLStore = require('connect-mssql-v2');
  const mssql = require('mssql');
  if (makeTable) {
    const pool = await new mssql.ConnectionPool(mssqlConfig(url)).connect();
    // As in connect-mssql-v2's README.
    await pool.query(`CREATE TABLE [sessions](
      [sid] [nvarchar](255) NOT NULL PRIMARY KEY, [session] [nvarchar](max) NOT NULL, [expires] [datetime] NOT NULL)`);
    await pool.close();
  }
  const store = new MSSQLStore(mssqlConfig(url));
  store.on('sessionError', (error, method) => console.error(method, error));
  // Three first requests at once would open three connections and close two of them.
  await store.dbReadyCheck();
  return store;
}

// What an ADO.NET connection string says, in node-mssql's words.
function mssqlConfig(url) {
  const said = Object.fromEntries(url.split(';').filter(Boolean).map((part) => {
    const [key, ...value] = part.split('=');
    return [key.trim().toLowerCase(), value.join('=').trim()];
  }));
  const [server, port = '1433'] = said.server.replace(/^tcp:/, '').split(',');
  return {
    server, port: Number(port), user: said['user id'], password: said.password, database: said.database,
    options: { encrypt: said.encrypt === 'true', trustServerCertificate: said.trustservercertificate === 'true' },
  };
}

function state(req) {
  const { user = null, count = 0, note = null } = req.session ?? {};
  return { user, count, note };
}

async function main(port, layout, ...flags) {
  const store = await stores[layout](process.env.DATABASE_URL, flags.includes('--create-table'));
  const app = express();
  app.use(session({
    secret: SECRET, store, resave: false, saveUninitialized: false, cookie: { maxAge: HOUR, sameSite: 'lax' },
  }));
  app.post('/login', (req, res, next) => {
    req.session.regenerate((error) => {
      if (error) return next(error);
      Object.assign(req.session, { user: req.query.user, count: 0, note: req.query.note ?? null });
      res.json(state(req));
    });
  });
  app.get('/me', (req, res) => res.json(state(req)));
  app.post('/count', (req, res) => {
    if (!req.session.user) return res.status(401).json(state(req));
    req.session.count += 1;
    res.json(state(req));
  });
  app.post('/logout', (req, res, next) => {
    req.session.destroy((error) => (error ? next(error) : res.json(state(req))));
  });

  const server = app.listen(Number(port), '127.0.0.1', () => {
    console.log(`listening on 127.0.0.1:${server.address().port}`);
  });
}

main(...process.argv.slice(2)).catch((error) => {
  console.error(error);
  process.exit(1);
});
