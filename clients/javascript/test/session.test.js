import assert from "node:assert/strict";
import { test } from "node:test";
import { AnswerError, Client, ClosedError, Flag, TimeoutError, UnavailableError, decodeError, encodeError } from "../src/index.js";
import { ASK, ECHO, FakeClock, FakeNet, OTHER, PEER, connected, settle, text } from "./fakes.js";

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
  client.on("game.ask", (request) => {
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
  client.on("game.ask", () => "kept");
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

test("a connection that is given up says so by a code that keeps the session", async () => {
  const { client, net, clock, socket } = await connected();
  client.interrupt();
  assert.equal(socket.closedWith.code, 4408);
  await clock.advance(125);
  assert.ok(net.last.protocols.includes("bannou.resume"));
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
