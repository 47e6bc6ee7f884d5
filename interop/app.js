// A web application as people run it today: express, express-session and connect-typeorm on one database. The other
// half of the pair is examples/express_twin.rs: the same routes, the same cookie, the same table.
//
// Usage: DATABASE_URL=… node app.js PORT [--create-table]
// It prints `listening on 127.0.0.1:PORT` when it takes requests; port 0 takes a free one.
'use strict';

require('reflect-metadata');
const express = require('express');
const session = require('express-session');
const { TypeormStore } = require('connect-typeorm');
const { DataSource, EntitySchema } = require('typeorm');

const SECRET = 'keyboard cat';
const HOUR = 3_600_000;

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

function dataSource(url) {
  const common = { entities: [Session] };
  if (url.startsWith('sqlite:')) {
    return new DataSource({ ...common, type: 'better-sqlite3', database: url.slice('sqlite:'.length) });
  }
  const type = url.startsWith('postgres') ? 'postgres' : 'mariadb';
  return new DataSource({ ...common, type, url: url.replace(/^mysql:/, 'mariadb:'), bigNumberStrings: false });
}

async function createTable(source) {
  // A server's own default may be latin1, which cannot hold every text.
  if (source.options.type === 'mariadb') await source.query('ALTER DATABASE CHARACTER SET utf8mb4');
  await source.synchronize();
}

function state(req) {
  const { user = null, count = 0, note = null } = req.session ?? {};
  return { user, count, note };
}

async function main(port, ...flags) {
  const source = await dataSource(process.env.DATABASE_URL).initialize();
  if (flags.includes('--create-table')) await createTable(source);
  const store = new TypeormStore({ cleanupLimit: 2, limitSubquery: false });
  store.connect(source.getRepository(Session));

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
