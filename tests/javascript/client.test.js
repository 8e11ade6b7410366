// The client against the real gateway and the quickstart's services. Everything waits for frames and events, nothing for a clock.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, before, test } from "node:test";
import { WebSocket } from "ws";
import {
  AnswerError,
  CallError,
  CancelledError,
  Client,
  ClosedError,
  ControlError,
  Flag,
  TimeoutError,
  UnavailableError,
  connect,
  decodeError,
} from "../../clients/javascript/src/index.js";
import { startGateway } from "./gateway.js";

const ADA = { name: "ada", password: "lovelace" };

/** @type {Awaited<ReturnType<typeof startGateway>>} */
let gateway;
before(async () => (gateway = await startGateway()));
after(() => gateway?.stop());

/** A connected client that is closed when the test ends. */
async function client(t, options = {}) {
  const bannou = new Client(gateway.connectUrl, { WebSocket, ...options });
  t.after(() => bannou.close());
  return bannou.open();
}

/** One who is logged in. */
async function player(t, options) {
  const bannou = await client(t, options);
  await bannou.call("auth.login", ADA);
  return bannou;
}

/** Two who are in one room of their own. */
async function pair(t) {
  const [left, right] = await Promise.all([player(t), player(t)]);
  const room = `room-${randomUUID().slice(0, 13)}`;
  const met = [left, right].map((each) => each.once("peers"));
  await left.call("chat.join", { room });
  await right.call("chat.join", { room });
  const [[peerOfLeft], [peerOfRight]] = (await Promise.all(met)).map(({ added }) => added);
  return { left, right, peerOfLeft, peerOfRight };
}

const text = (bytes) => new TextDecoder().decode(bytes);

// Discovery and login -------------------------------------------------------------------------------------------

test("discovery says what an anonymous client may call", async (t) => {
  const bannou = await client(t);
  for (const name of ["auth.login", "account.create", "echo.bytes", "echo.slow", "echo.fail", "echo.stream"]) {
    assert.ok(bannou.services.has(name), name);
  }
  for (const name of ["account.get", "game.connect", "chat.join"]) assert.ok(!bannou.services.has(name), name);
  assert.deepEqual([...bannou.events.keys()], ["account.welcome", "chat.notice"], "what services may send to anybody");
  assert.match(bannou.session.clientId, /\S/);
  assert.match(bannou.session.sessionId, /\S/);
  assert.equal(bannou.session.revision, 1);
  assert.ok(bannou.session.limits.message_bytes > 0);
});

test("handles are of one connection alone", async (t) => {
  const [one, other] = await Promise.all([client(t), client(t)]);
  const handles = [...one.services.values(), ...other.services.values()];
  assert.equal(new Set(handles).size, handles.length);
});

test("a login unlocks before its answer arrives, and keeps the handles that stay", async (t) => {
  const bannou = await client(t);
  const before = new Map(bannou.services);
  const order = [];
  bannou.on("update", ({ added }) => order.push(`update ${[...added.keys()].sort()}`));
  bannou.on("token", ({ token }) => order.push(`token ${token.split(".").length}`));
  const answer = await bannou.call("auth.login", ADA);
  order.push("answer");
  assert.equal(answer.json().token.split(".").length, 3);
  assert.equal(order.at(-1), "answer");
  assert.ok(order.includes("token 3"));
  assert.ok(order.includes("update account.get,chat.join,chat.say,game.connect,game.find_match"), order.join(" | "));
  for (const [name, handle] of before) if (bannou.services.has(name)) assert.equal(bannou.services.get(name), handle, name);
  assert.equal(bannou.session.revision, 2);
});

test("a wrong password is the service's own 401, unread by the gateway", async (t) => {
  const bannou = await client(t);
  await assert.rejects(bannou.call("auth.login", { ...ADA, password: "wrong" }), (error) => {
    assert.ok(error instanceof CallError);
    assert.equal(error.status, 401);
    assert.equal(typeof error.json(), "object");
    return true;
  });
  assert.ok(!bannou.services.has("game.connect"));
});

test("authenticate takes a token on the open connection, and refuses a forged one", async (t) => {
  const { token } = (await (await client(t)).call("auth.login", ADA)).json();
  const bannou = await client(t);
  const unlocked = bannou.available("game.connect");
  await bannou.authenticate(token);
  await unlocked;
  assert.equal((await bannou.call("account.get")).json() !== undefined, true);

  const [head, body] = token.split(".");
  await assert.rejects((await client(t)).authenticate(`${head}.${body}.AAAA`), ControlError);
});

test("a token at connect unlocks from the start; a forged one is said no to", async (t) => {
  const { token } = (await (await client(t)).call("auth.login", ADA)).json();
  const bannou = await client(t, { token });
  assert.ok(bannou.services.has("game.connect"));

  const forged = new Client(gateway.connectUrl, { WebSocket, token: `${token.slice(0, -6)}AAAAAA` });
  t.after(() => forged.close());
  const closing = forged.once("closing");
  await assert.rejects(forged.open(), (error) => error instanceof ClosedError && error.code === 4401);
  assert.equal((await closing).reconnect, "no");
});

// Calls ---------------------------------------------------------------------------------------------------------

test("payloads pass unchanged, from none to many bytes", async (t) => {
  const bannou = await client(t);
  const limit = bannou.session.limits.message_bytes;
  for (const size of [0, 1, 125, 126, 65_535, 65_536].filter((each) => each + 24 <= limit)) {
    const bytes = Uint8Array.from({ length: size }, (_, index) => (index * 31 + size) & 0xff);
    const back = await bannou.call("echo.bytes", bytes, { raw: true });
    assert.deepEqual(Buffer.from(back), Buffer.from(bytes), `${size} bytes`);
  }
});

test("a service's own status and body pass through", async (t) => {
  const bannou = await client(t);
  await assert.rejects(bannou.call("echo.fail", { status: 418, body: { short: "stout" } }), (error) => {
    assert.equal(error.status, 418);
    assert.match(error.text(), /stout/);
    return true;
  });
});

test("many calls at once are answered each by its own, and a slow one delays nobody", async (t) => {
  const bannou = await client(t);
  const ended = [];
  const slow = bannou.call("echo.slow", { ms: 1500 }).then(() => ended.push("slow"));
  await Promise.all(
    Array.from({ length: 20 }, async (_, index) => {
      assert.equal((await bannou.call("echo.bytes", `call ${index}`)).text(), `call ${index}`);
      ended.push("fast");
    }),
  );
  await slow;
  assert.equal(ended.at(-1), "slow");
});

test("a deadline fails the call; the gateway confirms the cancel that follows", async (t) => {
  const bannou = await client(t);
  const confirmed = bannou.once("frame", {
    accept: ({ direction, frame }) => direction === "in" && frame !== undefined && (frame.flags & Flag.ERROR) !== 0,
  });
  await assert.rejects(bannou.call("echo.slow", { ms: 10_000 }, { timeout: 100 }), TimeoutError);
  assert.equal(decodeError((await confirmed).frame.payload).status, 499);
});

test("a cancel is confirmed", async (t) => {
  const bannou = await client(t);
  const stop = new AbortController();
  const call = bannou.call("echo.slow", { ms: 10_000 }, { signal: stop.signal });
  // The gateway has read the request when it answers what was sent after it.
  await bannou.ping();
  stop.abort();
  await assert.rejects(call, (error) => error instanceof CancelledError && error.confirmed);
});

test("a locked service is not called, its old handle neither", async (t) => {
  const bannou = await client(t);
  await assert.rejects(bannou.call("game.connect"), UnavailableError);
});

test("a one-way message is answered by nothing", async (t) => {
  const bannou = await client(t);
  const frames = [];
  bannou.on("frame", ({ direction, frame }) => direction === "in" && frame && frames.push(frame));
  bannou.oneWay("echo.bytes", "into the void");
  assert.equal((await bannou.call("echo.bytes", "heard")).text(), "heard");
  assert.deepEqual(frames.map(({ payload }) => text(payload)), ["heard"]);
});

// Streams -------------------------------------------------------------------------------------------------------

test("a stream arrives part by part, the first before the last is made", async (t) => {
  const bannou = await client(t);
  const parts = [];
  for await (const part of bannou.stream("echo.stream", { parts: 4, ms: 100 })) parts.push(part);
  // A busy machine may join parts that were written apart; that they came one by one shows all the same.
  assert.ok(parts.length > 1, `${parts.length} parts`);
  assert.ok(parts[0].latencyMs < parts.at(-1).latencyMs);
});

test("a collected stream is one answer", async (t) => {
  const bannou = await client(t);
  const answer = await bannou.call("echo.stream", { parts: 3, ms: 10 });
  assert.ok(answer.parts > 1);
  assert.ok(answer.bytes.length > 0);
});

test("leaving a stream cancels it, and nothing comes after the confirmation", async (t) => {
  const bannou = await client(t);
  let last;
  bannou.on("frame", ({ direction, frame }) => direction === "in" && frame && (last = frame));
  for await (const part of bannou.stream("echo.stream", { parts: 1000, ms: 20 })) if (part) break;
  assert.equal(decodeError(last.payload).status, 499);
  const confirmed = last;
  await bannou.call("echo.slow", { ms: 200 });
  assert.notEqual(last.number, confirmed.number);
});

// Peers ---------------------------------------------------------------------------------------------------------

test("peers tell each other things, in order", async (t) => {
  const { right, peerOfLeft } = await pair(t);
  const heard = [];
  const done = right.once("message", { accept: (message) => heard.push(message.text()) === 50 });
  for (let index = 0; index < 50; index++) peerOfLeft.send(`line ${index}`);
  await done;
  assert.deepEqual(heard, Array.from({ length: 50 }, (_, index) => `line ${index}`));
});

test("peers ask and answer, with equal numbers both ways, and refuse", async (t) => {
  const { left, right, peerOfLeft, peerOfRight } = await pair(t);
  left.answerPeers((request) => `left heard ${request.text()}`);
  right.answerPeers((request) => {
    if (request.text() === "no?") throw new AnswerError(409, "no");
    return `right heard ${request.text()}`;
  });
  const [toRight, toLeft] = await Promise.all([peerOfLeft.request("a"), peerOfRight.request("b")]);
  assert.equal(toRight.text(), "right heard a");
  assert.equal(toLeft.text(), "left heard b");
  await assert.rejects(peerOfLeft.request("no?"), (error) => error.status === 409 && error.text() === "no");
});

test("three of one name in a room are two peers to each", async (t) => {
  const players = await Promise.all([player(t), player(t), player(t)]);
  const room = `room-${randomUUID().slice(0, 13)}`;
  const met = players.map((each) => each.once("peers", { accept: () => each.peers.size === 2 }));
  for (const each of players) await each.call("chat.join", { room });
  await Promise.all(met);
});

test("peers answer in parts and honour cancels", async (t) => {
  const { right, peerOfLeft } = await pair(t);
  let cancelled;
  const told = new Promise((resolve) => (cancelled = resolve));
  right.answerPeers(async function* ({ signal }) {
    yield "first";
    await new Promise((resolve) => signal.addEventListener("abort", resolve));
    cancelled();
  });
  const stream = peerOfLeft.stream("go");
  assert.equal((await stream.next()).value.text(), "first");
  const cancelling = stream.cancel();
  await told;
  await cancelling.catch(() => {});
});

test("a peer who leaves is said, and what was asked of them fails", async (t) => {
  const { left, right, peerOfLeft } = await pair(t);
  right.answerPeers(() => new Promise(() => {}));
  const asked = right.once("frame", { accept: ({ frame }) => frame !== undefined && frame.flags === Flag.INBOUND });
  const answer = peerOfLeft.request("stay?");
  const failed = assert.rejects(answer, (error) => error.status === 404);
  await asked;
  const gone = left.once("peers", { accept: ({ removed }) => removed.length > 0 });
  right.close();
  assert.equal((await gone).removed[0], peerOfLeft);
  await failed;
});

// Control messages and coming back ------------------------------------------------------------------------------

test("ping, and what the gateway does not know", async (t) => {
  const bannou = await client(t);
  assert.ok((await bannou.ping()) >= 0);
  await assert.rejects(bannou.control({ type: "from_the_future" }), (error) => error instanceof ControlError && error.status === 400);
  await assert.rejects(bannou.describe("no.such"), ControlError);
  assert.equal(bannou.state, "open");
});

test("an origin that is not on the list is not let in", async () => {
  const options = { WebSocket, origin: "http://elsewhere.example", reconnect: false };
  await assert.rejects(connect(gateway.connectUrl, options), ClosedError);
});

test("a gateway that ends says so, and the client waits to come back", async (t) => {
  const own = await startGateway();
  const bannou = await connect(own.connectUrl, { WebSocket });
  t.after(() => bannou.close());
  const closing = bannou.once("closing");
  const waiting = bannou.once("state", { accept: ({ state }) => state === "waiting" });
  const code = await own.stop();
  assert.notEqual((await closing).reconnect, "no");
  await waiting;
  assert.equal(code, 0);
});
