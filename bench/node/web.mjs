// The application of `cargo xtask bench web` on Express and express-session: see harness/src/app.rs for what it does.

import { createRequire } from "node:module";

import { open, sample, say } from "./stores.mjs";

const require = createRequire(import.meta.url);
const express = require("express");
const session = require("express-session");

const DAY = 86_400_000;
const { store, settings } = await open();
const application = express();
application.use(
  session({
    store,
    secret: "of the benchmark",
    // As express-session's documentation recommends them.
    resave: false,
    saveUninitialized: false,
    cookie: { maxAge: DAY },
  }),
);
application.get("/", (request, response) => {
  response.type("text").send(`hello, ${request.session.user?.name ?? "stranger"}\n`);
});
application.post("/change", (request, response) => {
  request.session.visits = (request.session.visits ?? 0) + 1;
  response.type("text").send(`${request.session.visits}\n`);
});
application.post("/sign-in/:bytes", (request, response, next) => {
  request.session.regenerate((error) => {
    if (error) return next(error);
    const { cookie: _, ...data } = sample(Number(request.params.bytes), 7);
    Object.assign(request.session, data);
    response.type("text").send("");
  });
});
const server = application.listen(0, "127.0.0.1", () => {
  say({ port: server.address().port, settings: `${settings}, Express ${require("express/package.json").version}`, processes: [] });
});
// Whoever started it is gone.
process.stdin.resume().on("end", () => process.exit(0));
