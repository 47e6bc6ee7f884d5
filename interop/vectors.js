// Writes ../tests/fixtures/express-vectors.json: what the packages under express-session make of hostile `Cookie` headers,
// the JSON and the `Set-Cookie` headers that they make of many cookies, how long the two stores let a session live, and
// what express-session reads in a row. Run it again when a package changes.
'use strict';

const fs = require('node:fs');
const path = require('node:path');
const { createRequire } = require('node:module');
// express has other versions of the two.
const requireOfSession = createRequire(require.resolve('express-session'));
const cookie = requireOfSession('cookie');
const signature = requireOfSession('cookie-signature');
const Cookie = require('express-session/session/cookie');
const Store = require('express-session/session/store');
const { TypeormStore } = require('connect-typeorm');
const MSSQLStore = require('connect-mssql-v2');

const SECRETS = ['new secret', 'keyboard cat'];
const NOW = 1795324200000;
Date.now = () => NOW;

// xorshift32: the same vectors each time.
let seed = 2463534242;
function random(n) {
  seed ^= seed << 13; seed >>>= 0;
  seed ^= seed >>> 17;
  seed ^= seed << 5; seed >>>= 0;
  return seed % n;
}
const pick = (list) => list[random(list.length)];

// What express-session's getcookie does with a header.
function sessionId(header) {
  const raw = cookie.parse(header)['connect.sid'];
  if (!raw || !raw.startsWith('s:')) return null;
  for (const secret of SECRETS) {
    const id = signature.unsign(raw.slice(2), secret);
    if (id !== false) return id || null;
  }
  return null;
}

function value() {
  const id = pick(['abc', 'a.b', 'x y', '7NJgOXpF0O7a8ZcbBrAp5Wb-SxXQVAN9', '%41', 'a"b', '']);
  const genuine = 's:' + signature.sign(id, pick([...SECRETS, ...SECRETS, ...SECRETS, 'wrong secret']));
  const mangled = [
    ...Array(12).fill((v) => v), (v) => v.slice(0, -1), (v) => v.slice(1), (v) => v + '=', (v) => v.toLowerCase(),
    (v) => v.replace('.', '..'), (v) => v.replace('s:', ''), (v) => v + '.' + v.split('.').pop(), (v) => v + ' ',
  ];
  const written = [
    ...Array(6).fill(encodeURIComponent), (v) => v, (v) => `"${v}"`,
    (v) => `"${encodeURIComponent(v)}"`, (v) => encodeURIComponent(v).toLowerCase(), (v) => v + '%', (v) => '%zz' + v,
    (v) => encodeURIComponent(encodeURIComponent(v)), (v) => ` \t${encodeURIComponent(v)}\t `, (v) => `"${v}`,
    (v) => [...v].map((c) => '%' + c.charCodeAt(0).toString(16).padStart(2, '0')).join(''),
  ];
  return pick(written)(pick(mangled)(genuine));
}

function pair() {
  const others = [' connect.sid ', 'Connect.sid', 'connect_sid', 'theme', ''];
  const name = pick([...Array(8).fill('connect.sid'), ...others]);
  return pick([
    ...Array(12).fill(() => `${name}=${value()}`), () => name, () => `${name}=`, () => `${name}==`, () => 'a=b=c', () => '', () => '=', () => '"', () => 'a="b;c"',
  ])();
}

const headers = [];
for (let i = 0; i < 250; i++) {
  const header = Array.from({ length: 1 + random(3) }, pair).join(pick([';', '; ', ' ;\t']));
  headers.push({ header, id: sessionId(header) });
}

// As a request finds it in the store, touches it and writes it back.
function touch(stored) {
  const session = new Store().createSession({ sessionID: 'id' }, JSON.parse(stored));
  session.touch();
  return session;
}
const inAYear = new Date(NOW + 365 * 86_400_000 + 678);

const cookies = [];
for (let i = 0; i < 150; i++) {
  const all = {
    maxAge: pick([null, 0, 1, 999, 3600000, 1000.5, -5, 1e13, 2 ** 31, 1e-7]),
    secure: pick([true, false]), httpOnly: pick([true, false]), domain: pick(['ex.test', '.ex.test', 'a-b.ex.test']),
    path: pick(['/', '/app', '/a b', '']), sameSite: pick([true, false, 'lax', 'strict', 'none', 'Lax']),
    priority: pick(['low', 'medium', 'high', 'High']), partitioned: pick([true, false]),
    expires: pick([null, false, inAYear, new Date(NOW), new Date(NOW - 1), new Date('garbage')]), foo: { bar: 1 },
  };
  const options = Object.fromEntries(Object.entries(all).filter(() => random(2) === 0));
  const stored = JSON.stringify({ cookie: new Cookie(options), n: i });
  const session = touch(stored);
  cookies.push({ stored, touched: JSON.stringify(session), header: session.cookie.serialize('connect.sid', 's:id.sig') });
}

// Dates that need more than four digits for their year.
const far = [1e15, 6e15, -1e14, -6.9e13].map((maxAge) => {
  const stored = JSON.stringify({ cookie: new Cookie({ maxAge }) });
  return { stored, touched: JSON.stringify(touch(stored)) };
});

// How long the stores let a session live after a touch: in seconds, and until when.
const typeorm = new TypeormStore();
const mssql = new MSSQLStore({ server: 'localhost' });
const lives = [
  ...[null, false, 0, 1, 999, 1000, 1999.5, 3600000, -5, 31_536_000_000].map((maxAge) => ({ maxAge })),
  { expires: inAYear }, { expires: false }, {},
].map((options) => {
  const stored = JSON.stringify({ cookie: new Cookie(options) });
  const session = touch(stored);
  return { stored, seconds: typeorm.getTTL(session, 'id'), until: mssql.getExpirationDate(session.cookie).getTime() };
});

// Rows of other origins, as this project writes them back, and as express-session then does: `null` where it throws.
const read = (row) => {
  try {
    return JSON.stringify(new Store().createSession({ sessionID: 'id' }, JSON.parse(row)));
  } catch {
    return null;
  }
};
const plain = '{"originalMaxAge":null,"expires":null,"httpOnly":true,"path":"/"}';
const rows = [
  ['{}', `{"cookie":${plain}}`], ['{"user":1}', `{"cookie":${plain},"user":1}`],
  ['{"user":1,"cookie":null}', `{"user":1,"cookie":${plain}}`], ['{"cookie":5,"user":1}', `{"cookie":${plain},"user":1}`],
  ['{"cookie":"x"}', `{"cookie":${plain}}`], ['{"cookie":false}', `{"cookie":${plain}}`],
  ['{"cookie":[],"b":[],"a":{}}', `{"cookie":${plain},"b":[],"a":{}}`],
].map(([row, ours]) => ({ row, node: read(row), ours, ours_in_node: read(ours) }));
// A member of each name, so that those are missing which express-session passes over.
const names = [
  ...Object.getOwnPropertyNames(Object.prototype), 'id', 'req', 'touch', 'resetMaxAge', 'save', 'reload', 'destroy', 'regenerate',
  'cookie', 'user', 'toJSON2', '_id', 'Save', 'length', 'name', 'prototype', '1',
].map((name) => {
  const row = `{"cookie":${plain},${JSON.stringify(name)}:${name === 'cookie' ? plain : 1}}`;
  return { name, kept: Object.hasOwn(JSON.parse(read(row) ?? '{}'), name) };
});

const file = path.join(__dirname, '..', 'tests', 'fixtures', 'express-vectors.json');
const sections = { headers, cookies, far, lives, rows, names };
const lines = (list) => list.map((entry) => JSON.stringify(entry)).join(',\n');
const text = Object.entries(sections).map(([name, list]) => `"${name}":[\n${lines(list)}\n]`).join(',');
fs.writeFileSync(file, `{"secrets":${JSON.stringify(SECRETS)},"now":${NOW},${text}}\n`);
console.log(Object.entries(sections).map(([name, list]) => `${list.length} ${name}`).join(', '));
console.log(`${headers.filter(({ id }) => id !== null).length} headers with a session`);
