// Calls whose connection goes away: what is declared idempotent is made again, the rest is in doubt.
import assert from "node:assert/strict";
import { test } from "node:test";
import { CallError, CancelledError, ClosedError, Flag, TimeoutError, encodeError } from "../src/index.js";
import { ECHO, OTHER, PEER, connected, settle, text } from "./fakes.js";

const inDoubt = (error) => error instanceof ClosedError && error.inDoubt;
const RESUMED = { type: "resumed", client_id: "c2", session_id: "session", revision: 1, set: "s1", resume: { token: "r2", window_s: 120 } };

const reconnect = async ({ net, clock, socket = net.last }, code = 1006) => {
  socket.ended(code);
  await clock.advance(125);
  net.last.accept();
  return net.last;
};

test("an idempotent call is made again under its number, the rest fails at once", async () => {
  const { client, net, clock, socket } = await connected();
  const again = client.call("echo.bytes", "twice", { idempotent: true });
  const once = assert.rejects(client.call("echo.bytes", "once"), inDoubt);
  const next = await reconnect({ net, clock, socket });
  await once;
  assert.equal(next.frames.length, 0, "not before there is a session");
  next.control(RESUMED);
  assert.deepEqual(next.frames.map(({ handle, flags, number, payload }) => [handle, flags, number, text(payload)]), [[ECHO, 0, 1n, "twice"]]);
  next.frame(ECHO, 0, 1n, "answered");
  assert.equal((await again).text(), "answered");
});

test("what describe says of an endpoint is remembered, and the call has the last word", async () => {
  const { client, net, clock, socket } = await connected();
  const described = client.describe("echo.bytes");
  await settle();
  socket.control({ type: "ok", id: socket.sent.at(-1).id, name: "echo.bytes", idempotent: true });
  await described;
  const again = client.call("echo.bytes", "yes");
  const once = assert.rejects(client.call("echo.bytes", "no", { idempotent: false }), inDoubt);
  const next = await reconnect({ net, clock, socket });
  await once;
  next.control(RESUMED);
  assert.deepEqual(next.frames.map(({ payload }) => text(payload)), ["yes"]);
  next.frame(ECHO, 0, 1n, "");
  await again;
});

test("a session that begins afresh takes the call under its own handle, or leaves it in doubt", async () => {
  const { client, net, clock, socket } = await connected();
  const again = client.call("echo.bytes", "", { idempotent: true });
  const lost = assert.rejects(client.call("auth.login", "", { idempotent: true }), inDoubt);
  const next = await reconnect({ net, clock, socket });
  next.control({ type: "gap", unknown: true });
  next.discover({ session_id: "another", services: { "echo.bytes": OTHER } });
  await lost;
  assert.deepEqual(next.frames.map(({ handle, number }) => [handle, number]), [[OTHER, 1n]]);
  next.frame(OTHER, 0, 1n, "here");
  assert.equal((await again).text(), "here");
});

test("a call that has begun to be answered, or asks a peer, is not made again", async () => {
  const { client, net, clock, socket } = await connected();
  socket.control({ type: "peers", added: { bob: { handle: PEER } } });
  const begun = assert.rejects(client.call("echo.bytes", "", { idempotent: true }), inDoubt);
  const peer = assert.rejects(client.peers.get("bob").request("", { idempotent: true }), inDoubt);
  socket.frame(ECHO, Flag.MORE, 1n, "a part");
  const next = await reconnect({ net, clock, socket });
  await Promise.all([begun, peer]);
  next.control(RESUMED);
  assert.equal(next.frames.length, 0);
});

test("between connections a call keeps its deadline and can be cancelled", async () => {
  const { client, net, clock, socket } = await connected();
  const stop = new AbortController();
  const late = assert.rejects(client.call("echo.bytes", "", { idempotent: true, timeout: 100 }), TimeoutError);
  const cancelled = assert.rejects(client.call("echo.bytes", "", { idempotent: true, signal: stop.signal }), CancelledError);
  socket.ended(1006);
  stop.abort();
  await cancelled;
  await clock.advance(125);
  await late;
  net.last.accept();
  net.last.control(RESUMED);
  assert.equal(net.last.frames.length, 0);
});

test("a client that does not come back leaves them in doubt", async () => {
  for (const end of [
    ({ client }) => client.close(),
    ({ socket }) => {
      socket.control({ type: "closing", code: 4403, reason: "banned", reconnect: "no" });
      socket.ended(4403);
    },
    ({ client, socket }) => {
      socket.ended(1006);
      client.close();
    },
  ]) {
    const world = await connected();
    const failed = assert.rejects(world.client.call("echo.bytes", "", { idempotent: true }), inDoubt);
    end(world);
    await failed;
    assert.equal(world.clock.timers.size, 0);
  }
});

test("a second break makes it again a second time, and its error is the call's", async () => {
  const { client, net, clock, socket } = await connected();
  const failed = assert.rejects(client.call("echo.bytes", "", { idempotent: true }), (error) => error instanceof CallError && error.status === 503);
  (await reconnect({ net, clock, socket })).control(RESUMED);
  net.last.ended(1006);
  await clock.advance(250);
  net.last.accept();
  net.last.control(RESUMED);
  assert.equal(net.last.frames.length, 1);
  net.last.frame(ECHO, Flag.ERROR, 1n, encodeError(503));
  await failed;
});

test("a drained connection that ends early hands its call to the one that is there already", async () => {
  const { client, net, clock, socket } = await connected();
  const answer = client.call("echo.bytes", "", { idempotent: true });
  socket.control({ type: "going_away", reconnect_after_ms: 0, reason: "drain" });
  await clock.advance(0);
  net.last.accept();
  net.last.control(RESUMED);
  assert.equal(net.last.frames.length, 0, "the old one may still answer");
  socket.ended(1012);
  assert.equal(net.last.frames.length, 1);
  net.last.frame(ECHO, 0, 1n, "from the new one");
  assert.equal((await answer).text(), "from the new one");
});
