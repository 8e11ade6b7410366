import assert from "node:assert/strict";
import { test } from "node:test";
import {
  AnswerError,
  CallError,
  CancelledError,
  Client,
  ClosedError,
  ControlError,
  Flag,
  LimitError,
  TimeoutError,
  UnavailableError,
  decodeError,
  encodeError,
} from "../src/index.js";
import { ASK, ECHO, FakeClock, FakeNet, LOGIN, OTHER, PEER, settle } from "./fakes.js";

/** A client whose gateway is the test, connected. */
async function connected(options = {}) {
  const net = new FakeNet();
  const clock = new FakeClock();
  const client = new Client("ws://gateway/connect", { WebSocket: net.WebSocket, clock, random: () => 0.5, ...options });
  const opening = client.open();
  await settle();
  net.last.accept();
  net.last.discover();
  await opening;
  return { client, net, clock, socket: net.last };
}

const text = (bytes) => new TextDecoder().decode(bytes);
const status = (frame) => decodeError(frame.payload).status;

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

// Peers and services that ask -----------------------------------------------------------------------------------

test("peers are asked, told, and answered", async () => {
  const { client, socket } = await connected();
  socket.control({ type: "peers", added: { bob: { handle: PEER, session_id: "b" } }, removed: [] });
  const bob = client.peers.get("bob");

  const answer = bob.request("how are you?");
  socket.frame(PEER, 0, socket.frames.at(-1).number, "fine");
  assert.equal((await answer).text(), "fine");

  bob.send("psst");
  assert.equal(socket.frames.at(-1).flags, Flag.ONE_WAY);

  const messages = [];
  bob.onMessage = (message) => messages.push(message.text());
  socket.frame(PEER, Flag.INBOUND | Flag.ONE_WAY, 1n, "hey");
  assert.deepEqual(messages, ["hey"]);

  client.answerPeers(async (request) => `${request.peer.label} said ${request.text()}`);
  socket.frame(PEER, Flag.INBOUND, 1n, "hello");
  await settle();
  const reply = socket.frames.at(-1);
  assert.deepEqual([reply.handle, reply.flags, reply.number, text(reply.payload)], [PEER, Flag.INBOUND, 1n, "bob said hello"]);
});

test("a peer's number may equal ours: the two exchanges are apart", async () => {
  const { client, socket } = await connected();
  socket.control({ type: "peers", added: { bob: { handle: PEER } } });
  client.answerPeers(() => "pong");
  const answer = client.peers.get("bob").request("ping");
  const { number } = socket.frames.at(-1);
  socket.frame(PEER, Flag.INBOUND, number, "ping");
  await settle();
  assert.equal(socket.frames.at(-1).flags, Flag.INBOUND);
  socket.frame(PEER, 0, number, "pong!");
  assert.equal((await answer).text(), "pong!");
});

test("answers fail by AnswerError, by accident, for want of a handler, and are bounded", async (t) => {
  t.mock.method(console, "error", () => {});
  const { client, socket } = await connected({ maxInbound: 1 });
  socket.control({ type: "peers", added: { bob: { handle: PEER } } });
  const ask = async (number) => {
    socket.frame(PEER, Flag.INBOUND, number, "");
    await settle();
    const frame = socket.frames.at(-1);
    assert.equal(frame.flags, Flag.INBOUND | Flag.ERROR);
    return decodeError(frame.payload);
  };
  assert.equal((await ask(1n)).status, 501);
  client.answerPeers(() => {
    throw new AnswerError(409, "taken");
  });
  const taken = await ask(2n);
  assert.equal(taken.status, 409);
  assert.equal(text(taken.body), "taken");
  client.answerPeers(() => {
    throw new Error("a secret");
  });
  const failed = await ask(3n);
  assert.equal(failed.status, 500);
  assert.doesNotMatch(text(failed.body), /secret/);
  client.answerPeers(() => new Promise(() => {}));
  socket.frame(PEER, Flag.INBOUND, 4n, "");
  assert.equal((await ask(5n)).status, 503);
});

test("an answer may have parts, and stops when the asker cancels", async () => {
  const { client, socket } = await connected();
  socket.control({ type: "peers", added: { bob: { handle: PEER } } });
  client.answerPeers(async function* ({ signal }) {
    yield "one";
    await new Promise((resolve) => signal.addEventListener("abort", resolve));
    yield "never";
  });
  socket.frame(PEER, Flag.INBOUND, 7n, "");
  await settle();
  const parts = socket.frames.length;
  assert.equal(socket.frames.at(-1).flags, Flag.INBOUND | Flag.MORE);
  socket.frame(PEER, Flag.INBOUND | Flag.ERROR, 7n, encodeError(499));
  await settle();
  assert.equal(socket.frames.length, parts, "no frame after the cancel");
});

test("a peer who leaves ends every exchange with them", async () => {
  const { client, socket } = await connected();
  socket.control({ type: "peers", added: { bob: { handle: PEER } } });
  const bob = client.peers.get("bob");
  const answer = bob.request("?");
  let aborted = false;
  client.answerPeers(({ signal }) => new Promise(() => signal.addEventListener("abort", () => (aborted = true))));
  socket.frame(PEER, Flag.INBOUND, 1n, "");
  socket.control({ type: "peers", removed: ["bob"] });
  await assert.rejects(answer, (error) => error.status === 404);
  assert.ok(aborted);
  assert.ok(bob.gone);
  assert.equal(client.peers.size, 0);
  assert.throws(() => bob.send("?"), UnavailableError);
});

test("services that ask are answered with their own number, once per log position", async () => {
  const { client, socket } = await connected();
  const asked = [];
  client.answer("game.ask", (request) => {
    asked.push(request.text());
    return { move: 1 };
  });
  const number = (1n << 48n) | 10n;
  socket.frame(ASK, Flag.INBOUND | Flag.LOGGED, number, "a");
  await settle();
  const reply = socket.frames.at(-1);
  assert.deepEqual([reply.flags, reply.number, text(reply.payload)], [Flag.INBOUND | Flag.LOGGED, number, '{"move":1}']);
  socket.frame(ASK, Flag.INBOUND | Flag.LOGGED, number, "a"); // again
  socket.frame(ASK, Flag.INBOUND | Flag.LOGGED, number - 1n, "older");
  await settle();
  assert.deepEqual(asked, ["a"]);
});

test("each of the two cursors drops what is not above it, errors pass, a gap takes them down", async () => {
  const { client, socket } = await connected();
  const pushed = [];
  client.on("push", (push) => pushed.push(push.text()));
  const push = (number, name) => socket.frame(ASK, Flag.INBOUND | Flag.LOGGED | Flag.ONE_WAY, number, name);
  push((1n << 48n) | 5n, "home 5");
  push(3n, "group 3");
  push((1n << 48n) | 5n, "home 5 again");
  push(3n, "group 3 again");
  push((2n << 48n) | 1n, "next home");
  push(4n, "group 4");
  assert.deepEqual(pushed, ["home 5", "group 3", "next home", "group 4"]);
  socket.control({ type: "gap", unknown: true, cursor: "0", group_cursor: "3" });
  push(4n, "group 4 after a gap");
  assert.equal(pushed.at(-1), "group 4 after a gap");
});

// Coming back ---------------------------------------------------------------------------------------------------

test("the first connection offers version and token, a later one the resume token too", async () => {
  const { client, net, clock } = await connected({ token: "jwt" });
  assert.deepEqual(net.last.protocols, ["bannou.v1", "bannou.bearer.jwt"]);
  net.last.control({ type: "resume", token: "r2", cursor: "281474976710666", group_cursor: "7" });
  net.last.ended(1006);
  assert.equal(client.state, "waiting");
  await clock.advance(125);
  assert.equal(client.state, "connecting");
  assert.deepEqual(net.last.protocols, ["bannou.v1", "bannou.bearer.jwt", "bannou.resume"]);
  net.last.accept();
  assert.deepEqual(net.last.sent, [
    { type: "resume", token: "r2", cursor: "281474976710666", group_cursor: "7", open: [], set: "s1" },
  ]);
});

test("a resume that cannot be is a gap and a fresh session", async () => {
  const { client, net, clock, socket } = await connected();
  socket.control({ type: "peers", added: { bob: { handle: PEER } } });
  const left = [];
  client.on("peers", ({ removed }) => left.push(...removed.map(({ label }) => label)));
  const gaps = [];
  client.on("gap", (gap) => gaps.push(gap));
  socket.ended(1006);
  await clock.advance(125);
  net.last.accept();
  net.last.control({ type: "gap", unknown: true });
  net.last.discover({ session_id: "another", services: { "echo.bytes": OTHER } });
  assert.equal(client.state, "open");
  assert.equal(gaps.length, 1);
  assert.deepEqual(left, ["bob"]);
  assert.equal(client.services.get("echo.bytes"), OTHER);
  assert.equal(client.session.sessionId, "another");
});

test("a resume that succeeds keeps the set, takes whole peers, and repeats kept answers", async () => {
  const { client, net, clock, socket } = await connected();
  client.answer("game.ask", () => "kept");
  const number = (1n << 48n) | 10n;
  socket.frame(ASK, Flag.INBOUND | Flag.LOGGED, number, "a");
  socket.control({ type: "peers", added: { bob: { handle: PEER }, eve: { handle: OTHER } } });
  await settle();
  socket.ended(1006);
  await clock.advance(125);
  net.last.accept();
  assert.deepEqual(net.last.sent[0].open, [number.toString()]);
  assert.equal(net.last.sent[0].cursor, number.toString());
  net.last.control({ type: "resumed", client_id: "c2", session_id: "session", revision: 5, set: "s1", resume: { token: "r9", window_s: 120 } });
  net.last.control({ type: "peers", added: { bob: { handle: PEER } } });
  assert.equal(client.services.size, 2);
  assert.deepEqual([...client.peers.keys()], ["bob"]);
  assert.deepEqual(net.last.frames.map((frame) => [frame.number, text(frame.payload)]), [[number, "kept"]]);
});

test("what was open when the connection ended is in doubt", async () => {
  const { client, socket } = await connected();
  const answer = client.call("echo.bytes");
  const asked = client.ping();
  await settle();
  socket.ended(1006);
  await assert.rejects(answer, (error) => error instanceof ClosedError && error.inDoubt && error.code === 1006);
  await assert.rejects(asked, ClosedError);
  await assert.rejects(client.call("echo.bytes"), (error) => error instanceof ClosedError && !error.inDoubt);
});

test("closing decides: no, fresh, and how long", async () => {
  for (const [closing, state, delayMs] of [
    [{ code: 4403, reason: "banned", reconnect: "no" }, "closed", undefined],
    [{ code: 1012, reason: "drained", reconnect: "resume", after_ms: 1000 }, "waiting", 1125],
    [{ code: 4410, reason: "old", reconnect: "fresh", after_ms: 0 }, "waiting", 125],
  ]) {
    const { client, net, clock, socket } = await connected();
    const states = [];
    client.on("state", (change) => states.push(change));
    socket.control({ type: "closing", ...closing });
    socket.ended(closing.code);
    assert.equal(client.state, state);
    assert.equal(states.at(-1).reason, closing.reason);
    assert.equal(states.at(-1).delayMs, delayMs);
    if (state === "closed") continue;
    await clock.advance(delayMs - 1);
    assert.equal(net.sockets.length, 1);
    await clock.advance(1);
    assert.equal(net.sockets.length, 2);
    assert.equal(net.last.protocols.includes("bannou.resume"), closing.reconnect === "resume");
  }
});

test("attempts back off while they fail, and begin anew after a stable time", async () => {
  const { client, net, clock, socket } = await connected();
  const delays = [];
  client.on("state", ({ state, delayMs }) => state === "waiting" && delays.push(delayMs));
  socket.ended(1006);
  for (let attempt = 0; attempt < 4; attempt++) {
    await clock.advance(delays.at(-1));
    net.last.ended(1006);
  }
  assert.deepEqual(delays, [125, 250, 500, 1000, 2000]);
  await clock.advance(2000);
  net.last.accept();
  net.last.discover({ ping_s: 0 });
  await clock.advance(10_000);
  net.last.ended(1006);
  assert.equal(delays.at(-1), 125);
});

test("a handshake that never ends is given up", async () => {
  const { client, net, clock, socket } = await connected();
  socket.ended(1006);
  await clock.advance(125);
  const second = net.last;
  await clock.advance(10_000);
  assert.equal(client.state, "waiting");
  await clock.advance(250);
  assert.notEqual(net.last, second);
  assert.equal(client.state, "connecting");
});

test("going_away: the old link answers while the new one comes, then closes", async () => {
  const { client, net, clock, socket } = await connected();
  const answer = client.call("echo.bytes", "slow");
  socket.control({ type: "going_away", reconnect_after_ms: 500, reason: "drain" });
  await clock.advance(499);
  assert.equal(net.sockets.length, 1);
  await clock.advance(1);
  assert.equal(net.sockets.length, 2);
  assert.equal(client.state, "open");
  net.last.accept();
  net.last.control({ type: "gap", unknown: true });
  net.last.discover({ services: { "echo.bytes": OTHER } });
  client.call("echo.bytes").catch(() => {});
  assert.equal(net.last.frames.at(-1).handle, OTHER);
  assert.equal(socket.closedWith, undefined);
  socket.frame(ECHO, 0, 1n, "still here");
  assert.equal((await answer).text(), "still here");
  assert.equal(socket.closedWith.code, 1000);
  assert.equal(client.state, "open");
});

test("silence is broken by a ping, and ends the connection when that stays unanswered", async () => {
  const { client, clock, socket } = await connected();
  await clock.advance(25_000);
  assert.equal(socket.sent.at(-1).type, "ping");
  socket.control({ type: "ok", id: socket.sent.at(-1).id });
  await clock.advance(50_000);
  assert.equal(client.state === "waiting" || client.state === "connecting", true);
});

test("a token given by a service, and one that is refused", async () => {
  const { client, net, clock, socket } = await connected();
  socket.control({ type: "token", token: "from-login", expires_in_s: 600 });
  socket.ended(1006);
  await clock.advance(125);
  assert.ok(net.last.protocols.includes("bannou.bearer.from-login"));
  net.last.accept();
  net.last.control({ type: "closing", code: 4401, reason: "expired", reconnect: "no" });
  net.last.ended(4401);
  assert.equal(client.state, "closed");
  client.open().catch(() => {});
  await settle();
  assert.deepEqual(net.last.protocols, ["bannou.v1"]);
  client.close();
});

test("a refused opening rejects, and so does one without a gateway", async () => {
  const net = new FakeNet();
  const clock = new FakeClock();
  const refused = new Client("ws://x", { WebSocket: net.WebSocket, clock, reconnect: false });
  const opening = refused.open();
  await settle();
  net.last.ended(1006);
  await assert.rejects(opening, ClosedError);

  const lonely = new Client("ws://x", { WebSocket: net.WebSocket, clock, connectTimeout: 3000 });
  const failed = assert.rejects(lonely.open(), TimeoutError);
  await clock.advance(3000);
  await failed;
  assert.equal(lonely.state, "closed");
});

test("close ends everything, and no timer is left", async () => {
  const { client, socket, clock } = await connected();
  const answer = client.call("echo.bytes");
  client.close();
  await assert.rejects(answer, ClosedError);
  assert.equal(client.state, "closed");
  assert.equal(socket.closedWith.code, 1000);
  assert.equal(clock.timers.size, 0);
});

test("a server that does not speak bannou.v1 is left", async (t) => {
  t.mock.method(console, "error", () => {});
  const net = new FakeNet();
  const client = new Client("ws://x", { WebSocket: net.WebSocket, clock: new FakeClock() });
  client.open().catch(() => {});
  await settle();
  net.last.accept("");
  assert.equal(net.last.closedWith.code, 3002);
  client.close();
});

test("the tap sees every frame with its bytes", async () => {
  const { client, socket } = await connected();
  const taps = [];
  client.on("frame", (tap) => taps.push(tap));
  client.call("echo.bytes", "hi").catch(() => {});
  socket.frame(ECHO, 0, 1n, "hi");
  socket.control({ type: "ok" });
  assert.deepEqual(taps.map(({ direction, bytes, text }) => [direction, bytes?.length, text]), [
    ["out", 26, undefined],
    ["in", 26, undefined],
    ["in", undefined, '{"type":"ok"}'],
  ]);
  assert.equal(taps[1].frame.handle, ECHO);
});
