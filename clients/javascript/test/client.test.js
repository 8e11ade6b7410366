import assert from "node:assert/strict";
import { test } from "node:test";
import { CallError, CancelledError, ControlError, Flag, LimitError, TimeoutError, UnavailableError, encodeError } from "../src/index.js";
import { ECHO, LOGIN, OTHER, PEER, connected, settle, status, text } from "./fakes.js";

// Calls ---------------------------------------------------------------------------------------------------------

test("a call is answered by the frame of its handle and number, not by another", async () => {
  const { client, socket } = await connected();
  const answer = client.call("echo.bytes", { a: 1 });
  const [request] = socket.frames;
  assert.equal(request.handle, ECHO);
  assert.equal(request.flags, 0);
  assert.equal(text(request.payload), '{"a":1}');
  socket.frame(LOGIN, 0, request.number, "wrong handle");
  socket.frame(ECHO, 0, request.number + 1n, "wrong number");
  socket.frame(ECHO, Flag.INBOUND | Flag.ONE_WAY, request.number, "not an answer");
  socket.frame(ECHO, 0, request.number, '{"b":2}');
  assert.deepEqual((await answer).json(), { b: 2 });
});

test("numbers never come twice, whatever they are used for", async () => {
  const { client, socket } = await connected();
  client.oneWay("echo.bytes", "x");
  client.call("echo.bytes").catch(() => {});
  client.call("auth.login").catch(() => {});
  client.oneWay("auth.login");
  const numbers = socket.frames.map(({ number }) => number);
  assert.deepEqual(numbers, [1n, 2n, 3n, 4n]);
  assert.equal(socket.frames[0].flags, Flag.ONE_WAY);
});

test("an answer in parts is put together", async () => {
  const { client, socket } = await connected();
  const answer = client.call("echo.bytes");
  const { number } = socket.frames[0];
  socket.frame(ECHO, Flag.MORE, number, "one ");
  socket.frame(ECHO, Flag.MORE, number, "two ");
  socket.frame(ECHO, 0, number, "three");
  const whole = await answer;
  assert.equal(whole.text(), "one two three");
  assert.equal(whole.parts, 3);
});

test("raw gives bare bytes", async () => {
  const { client, socket } = await connected();
  const answer = client.call("echo.bytes", new Uint8Array([0, 255]), { raw: true });
  socket.frame(ECHO, 0, socket.frames[0].number, new Uint8Array([0, 255]));
  assert.deepEqual([...(await answer)], [0, 255]);
});

test("an error carries status, body and problem", async () => {
  const { client, socket } = await connected();
  const answer = client.call("echo.bytes");
  const problem = JSON.stringify({ status: 429, title: "slow down", retry_after_ms: 250 });
  socket.frame(ECHO, Flag.ERROR, socket.frames[0].number, encodeError(429, new TextEncoder().encode(problem)));
  await assert.rejects(answer, (error) => {
    assert.ok(error instanceof CallError);
    assert.equal(error.status, 429);
    assert.equal(error.retryAfterMs, 250);
    assert.equal(error.problem.title, "slow down");
    return true;
  });
});

test("what is not among the services is not sent", async () => {
  const { client, socket } = await connected();
  await assert.rejects(client.call("game.connect"), UnavailableError);
  assert.equal(socket.frames.length, 0);
});

test("a deadline fails the call at once, cancels it, and the number waits for its end", async () => {
  const { client, socket, clock } = await connected();
  const answer = client.call("echo.bytes", "", { timeout: 100 });
  const failed = assert.rejects(answer, TimeoutError);
  await clock.advance(100);
  await failed;
  const [request, cancel] = socket.frames;
  assert.equal(cancel.flags, Flag.ERROR);
  assert.equal(cancel.number, request.number);
  assert.equal(cancel.handle, request.handle);
  assert.equal(status(cancel), 499);
});

test("a cancel waits for its confirmation, past the parts that were queued", async () => {
  const { client, socket } = await connected();
  const stop = new AbortController();
  let settled = false;
  const answer = client.call("echo.bytes", "", { signal: stop.signal }).finally(() => (settled = true));
  const failed = assert.rejects(answer, (error) => error instanceof CancelledError && error.confirmed && error.cause === "enough");
  stop.abort("enough");
  const { number } = socket.frames[0];
  assert.equal(status(socket.frames[1]), 499);
  socket.frame(ECHO, Flag.MORE, number, "queued");
  await settle();
  assert.equal(settled, false);
  socket.frame(ECHO, Flag.ERROR, number, encodeError(499));
  await failed;
});

test("an answer that had left before the cancel comes with the error", async () => {
  const { client, socket } = await connected();
  const stop = new AbortController();
  const answer = client.call("echo.bytes", "", { signal: stop.signal });
  stop.abort();
  socket.frame(ECHO, 0, socket.frames[0].number, "done");
  await assert.rejects(answer, (error) => error instanceof CancelledError && !error.confirmed && error.answer.text() === "done");
});

test("a cancel that nobody confirms ends all the same", async () => {
  const { client, clock } = await connected();
  const stop = new AbortController();
  const failed = assert.rejects(client.call("echo.bytes", "", { signal: stop.signal, timeout: 0 }), CancelledError);
  stop.abort();
  await clock.advance(60_000);
  await failed;
});

test("a signal that is aborted already sends nothing", async () => {
  const { client, socket } = await connected();
  await assert.rejects(client.call("echo.bytes", "", { signal: AbortSignal.abort() }), CancelledError);
  assert.equal(socket.frames.length, 0);
});

test("open exchanges, unsent bytes and collected answers are bounded", async () => {
  const { client, socket } = await connected({ maxInFlight: 2, maxAnswerBytes: 4 });
  const first = client.call("echo.bytes");
  client.call("echo.bytes").catch(() => {});
  await assert.rejects(client.call("echo.bytes"), LimitError);
  socket.frame(ECHO, Flag.MORE, 1n, "too large");
  await assert.rejects(first, LimitError);
  assert.equal(status(socket.frames.at(-1)), 499);
  socket.frame(ECHO, Flag.ERROR, 1n, encodeError(499));
  socket.bufferedAmount = 1e9;
  await assert.rejects(client.call("echo.bytes"), LimitError);
});

test("an error message that names a frame ends its exchange", async () => {
  const { client, socket } = await connected();
  const answer = client.call("echo.bytes");
  socket.control({ type: "error", status: 409, title: "in flight", handle: ECHO, number: "1" });
  await assert.rejects(answer, (error) => error instanceof CallError && error.status === 409);
});

// Streams -------------------------------------------------------------------------------------------------------

test("a stream gives its parts as they come", async () => {
  const { client, socket } = await connected();
  const stream = client.stream("echo.bytes", { parts: 2 });
  socket.frame(ECHO, Flag.MORE, 1n, "a");
  assert.equal((await stream.next()).value.text(), "a");
  const later = stream.next();
  socket.frame(ECHO, Flag.MORE, 1n, "b");
  assert.equal((await later).value.text(), "b");
  socket.frame(ECHO, 0, 1n, "");
  assert.deepEqual(await stream.next(), { done: true, value: undefined });
});

test("the frame that ends a stream may be its last part, or an error after parts", async () => {
  const { client, socket } = await connected();
  const whole = [];
  const reading = (async () => {
    for await (const part of client.stream("echo.bytes")) whole.push(part.text());
  })();
  socket.frame(ECHO, Flag.MORE, 1n, "a");
  socket.frame(ECHO, 0, 1n, "b");
  await reading;
  assert.deepEqual(whole, ["a", "b"]);

  const broken = client.stream("echo.bytes");
  socket.frame(ECHO, Flag.MORE, 2n, "a");
  socket.frame(ECHO, Flag.ERROR, 2n, encodeError(502));
  assert.equal((await broken.next()).value.text(), "a");
  await assert.rejects(broken.next(), (error) => error.status === 502);
});

test("leaving the loop cancels and waits", async () => {
  const { client, socket } = await connected();
  const left = (async () => {
    for await (const part of client.stream("echo.bytes")) if (part) break;
  })();
  socket.frame(ECHO, Flag.MORE, 1n, "a");
  await settle();
  assert.equal(status(socket.frames[1]), 499);
  socket.frame(ECHO, Flag.ERROR, 1n, encodeError(499));
  await left;
});

test("a stream's deadline runs from part to part", async () => {
  const { client, socket, clock } = await connected();
  const stream = client.stream("echo.bytes", "", { timeout: 100 });
  for (let part = 0; part < 5; part++) {
    await clock.advance(90);
    socket.frame(ECHO, Flag.MORE, 1n, "x");
    assert.equal((await stream.next()).done, false);
  }
  const failed = assert.rejects(stream.next(), TimeoutError);
  await clock.advance(100);
  await failed;
});

test("unread parts are bounded", async () => {
  const { client, socket } = await connected({ maxUnreadBytes: 3 });
  const stream = client.stream("echo.bytes");
  socket.frame(ECHO, Flag.MORE, 1n, "ab");
  socket.frame(ECHO, Flag.MORE, 1n, "cd");
  assert.equal(status(socket.frames.at(-1)), 499);
  await stream.next();
  await stream.next();
  await assert.rejects(stream.next(), LimitError);
});

// Control messages ----------------------------------------------------------------------------------------------

test("updates change the services; an older one is ignored", async () => {
  const { client, socket } = await connected();
  const updates = [];
  client.on("update", (update) => updates.push(update));
  socket.control({ type: "service_update", revision: 2, added: { "game.connect": OTHER }, removed: ["auth.login"], reason: "authenticated" });
  assert.deepEqual([...client.services.keys()].sort(), ["echo.bytes", "game.connect"]);
  assert.deepEqual(client.nameOf(OTHER), { kind: "service", name: "game.connect" });
  assert.equal(client.nameOf(LOGIN), undefined);
  socket.control({ type: "service_update", revision: 1, added: { "auth.login": LOGIN }, removed: [] });
  assert.equal(client.services.has("auth.login"), false);
  assert.equal(updates.length, 1);
  assert.deepEqual(updates[0].removed, ["auth.login"]);
});

test("an update awakens who waits for a name", async () => {
  const { client, socket } = await connected();
  const available = client.available("game.connect");
  socket.control({ type: "service_update", revision: 2, added: { "x.y": PEER } });
  socket.control({ type: "service_update", revision: 3, added: { "game.connect": OTHER } });
  await available;
});

test("control messages are paired by id, refused ones throw", async () => {
  const { client, socket } = await connected();
  const good = client.authenticate("jwt-1");
  const bad = client.describe("nope");
  await settle();
  const [first, second] = socket.sent.filter((message) => message.type);
  assert.deepEqual([first.type, first.token, second.type], ["authenticate", "jwt-1", "describe"]);
  socket.control({ type: "error", id: second.id, status: 404, title: "not found" });
  socket.control({ type: "ok", id: first.id, expires_in_s: 60 });
  assert.equal((await good).expires_in_s, 60);
  await assert.rejects(bad, (error) => error instanceof ControlError && error.status === 404);
});

test("frames and messages that nobody knows change nothing", async () => {
  const { client, socket } = await connected();
  socket.control({ type: "from_the_future", a: 1 });
  socket.control({ type: "ok", id: 99 });
  socket.control({ type: "error", status: 400, title: "?" });
  socket.frame(OTHER, 0, 5n, "late");
  assert.equal(client.state, "open");
  assert.equal(socket.closedWith, undefined);
});

test("a frame without room for a header ends the connection", async (t) => {
  t.mock.method(console, "error", () => {});
  const { socket } = await connected();
  socket.onmessage({ data: new Uint8Array(10).buffer });
  assert.equal(socket.closedWith.code, 3002);
});
