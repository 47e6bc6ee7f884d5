// Writes ../tests/fixtures/express-vectors.json: what the packages under express-session make of hostile `Cookie` headers,
// and the JSON and the `Set-Cookie` headers that they make of many cookies. Run it again when a package changes.
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

const cookies = [];
for (let i = 0; i < 100; i++) {
  const all = {
    maxAge: pick([null, 0, 1, 999, 3600000, 1000.5, -5, 1e13]),
    secure: pick([true, false]), httpOnly: pick([true, false]), domain: pick(['ex.test', '.ex.test', 'a-b.ex.test']),
    path: pick(['/', '/app', '/a b', '']), sameSite: pick([true, false, 'lax', 'strict', 'none', 'Lax']),
    priority: pick(['low', 'medium', 'high', 'High']), partitioned: pick([true, false]),
  };
  const options = Object.fromEntries(Object.entries(all).filter(() => random(2) === 0));
  // As a request finds it in the store, touches it and writes it back.
  const stored = JSON.stringify({ cookie: new Cookie(options), n: i });
  const session = new Store().createSession({ sessionID: 'id' }, JSON.parse(stored));
  session.touch();
  cookies.push({ stored, touched: JSON.stringify(session), header: session.cookie.serialize('connect.sid', 's:id.sig') });
}

const file = path.join(__dirname, '..', 'tests', 'fixtures', 'express-vectors.json');
const lines = (list) => list.map((entry) => JSON.stringify(entry)).join(',\n');
fs.writeFileSync(file, `{"secrets":${JSON.stringify(SECRETS)},"now":${NOW},"headers":[\n${lines(headers)}\n],"cookies":[\n${lines(cookies)}\n]}\n`);
console.log(`${headers.length} headers, ${headers.filter(({ id }) => id !== null).length} with a session; ${cookies.length} cookies`);
