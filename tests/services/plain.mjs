// A service behind daprd, or straight behind `backend.service`, that knows nothing of Dapr: Node's own HTTP server, no package.
//
//   node plain.mjs [--port 0] [--name plain]      prints `listening PORT` when it takes requests; loopback only
//
// Its endpoints are those of README.md beside this file. `APP_API_TOKEN`, when set, is asked for as Dapr's documentation has
// it: the header `dapr-api-token`, else 401.
import { createServer } from "node:http";
import { parseArgs } from "node:util";

const { values: flags } = parseArgs({ options: { port: { type: "string", default: "0" }, name: { type: "string", default: "plain" } } });
const token = process.env.APP_API_TOKEN;
const CHUNK = 16 * 1024;
const MAX_BODY = 64 * 1024 * 1024;
const MAX_KEYS = 10_000;

/** How many requests came with this key. */
const counts = new Map();
/** What happened to the slow, streamed and endless answers: a test sees here that a cancel reached the service. */
const seen = { started: 0, finished: 0, cancelled: 0 };

/** Resolves to true after `ms`, to false as soon as the caller has gone. */
const pause = (res, ms) =>
  new Promise((resolve) => {
    if (res.closed || res.destroyed) return resolve(false);
    const gone = () => { clearTimeout(timer); resolve(false); };
    const timer = setTimeout(() => { res.off("close", gone); resolve(true); }, ms);
    res.once("close", gone);
  });

/** Writes, and waits while the caller does not read. False: the caller has gone. */
const write = (res, chunk) =>
  new Promise((resolve) => {
    if (res.closed || res.destroyed) return resolve(false);
    if (res.write(chunk)) return resolve(true);
    const done = (on) => { res.off("drain", more); res.off("close", gone); resolve(on); };
    const more = () => done(true);
    const gone = () => done(false);
    res.once("drain", more);
    res.once("close", gone);
  });

const json = (res, status, value) => {
  res.writeHead(status, { "content-type": "application/json" });
  res.end(JSON.stringify(value));
};

/** Counts the outcome of an answer that takes its time; `work` says whether it came to its end. */
const watched = async (work) => {
  seen.started += 1;
  const whole = await work();
  seen[whole ? "finished" : "cancelled"] += 1;
};

const described = (req, url, body) => {
  const headers = {};
  for (let i = 0; i < req.rawHeaders.length; i += 2) (headers[req.rawHeaders[i].toLowerCase()] ??= []).push(req.rawHeaders[i + 1]);
  return { service: flags.name, method: req.method, path: req.url.split("?")[0], query: url.search.slice(1), headers, body: body.toString("base64") };
};

/** What an endpoint is told: the JSON of the body, else the query string. */
const told = (url, body) => {
  if (body.length > 0) {
    try {
      return JSON.parse(body.toString("utf8"));
    } catch {
      return {};
    }
  }
  return Object.fromEntries([...url.searchParams].map(([k, v]) => [k, /^\d+$/.test(v) ? Number(v) : v]));
};

const endpoints = {
  "/echo": (req, res, url, body) => {
    res.writeHead(200, { "content-type": req.headers["content-type"] ?? "application/octet-stream" });
    res.end(body);
  },
  "/request": (req, res, url, body) => json(res, 200, described(req, url, body)),
  "/answer": (req, res, url, body) => {
    const want = told(url, body);
    const text = want.body === undefined ? "" : typeof want.body === "string" ? want.body : JSON.stringify(want.body);
    res.writeHead(want.status ?? 200, { "content-type": "application/json", ...want.headers });
    res.end(text);
  },
  "/slow": (req, res, url, body) =>
    watched(async () => {
      const { ms = 1000 } = told(url, body);
      const there = await pause(res, ms);
      if (there) json(res, 200, { waited_ms: ms });
      return there;
    }),
  "/count": (req, res, url, body) => {
    const want = told(url, body);
    if (req.method === "GET") return json(res, 200, { key: want.key, count: counts.get(String(want.key)) ?? 0 });
    if (counts.size >= MAX_KEYS) counts.delete(counts.keys().next().value);
    const count = (counts.get(String(want.key)) ?? 0) + 1;
    counts.set(String(want.key), count);
    if (want.then === "drop") return res.destroy();
    json(res, typeof want.then === "number" ? want.then : 200, { key: want.key, count });
  },
  "/big": async (req, res, url, body) => {
    const { bytes = 0, chunked = false } = told(url, body);
    res.writeHead(200, { "content-type": "application/octet-stream", ...(chunked ? {} : { "content-length": bytes }) });
    for (let left = bytes; left > 0; left -= CHUNK) if (!(await write(res, Buffer.alloc(Math.min(left, CHUNK), "x")))) return;
    res.end();
  },
  "/stream": (req, res, url, body) =>
    watched(async () => {
      const { parts = 3, ms = 10 } = told(url, body);
      res.writeHead(200, { "content-type": "text/plain" });
      for (let i = 0; i < parts; i += 1) {
        if (!(await write(res, `part ${i}\n`))) return false;
        if (i + 1 < parts && !(await pause(res, ms))) return false;
      }
      res.end();
      return true;
    }),
  "/endless": (req, res, url, body) =>
    watched(async () => {
      const { ms = 0, bytes = CHUNK } = told(url, body);
      res.writeHead(200, { "content-type": "application/octet-stream" });
      while ((await write(res, Buffer.alloc(Math.min(bytes, MAX_BODY), "x"))) && (await pause(res, ms)));
      return false;
    }),
  "/drop": async (req, res, url, body) => {
    const { bytes = 0, chunked = false } = told(url, body);
    if (bytes > 0) {
      res.writeHead(200, { "content-type": "application/octet-stream", ...(chunked ? {} : { "content-length": bytes * 2 }) });
      // Destroyed only once these bytes have left, or the caller would see no answer at all.
      await new Promise((resolve) => res.write(Buffer.alloc(bytes, "x"), resolve));
    }
    res.destroy();
  },
  "/seen": (req, res) => json(res, 200, seen),
  "/healthz": (req, res) => json(res, 200, { ok: true }),
};

const server = createServer(async (req, res) => {
  const url = new URL(req.url, "http://plain");
  if (token !== undefined && req.headers["dapr-api-token"] !== token) return json(res, 401, { title: "the app API token is missing or wrong" });
  const endpoint = endpoints[req.url.startsWith("/request/") ? "/request" : url.pathname];
  if (endpoint === undefined) return json(res, 404, { title: "no such path", path: url.pathname });
  const chunks = [];
  let size = 0;
  try {
    for await (const chunk of req) {
      size += chunk.length;
      if (size > MAX_BODY) return res.destroy();
      chunks.push(chunk);
    }
    await endpoint(req, res, url, Buffer.concat(chunks));
  } catch (error) {
    // The caller went away in the middle: nobody is left to tell.
    if (error.code !== "ECONNRESET") console.error(error);
    res.destroy();
  }
});
server.listen(Number(flags.port), "127.0.0.1", () => console.log(`listening ${server.address().port}`));
