// Services speak first: pushes and requests by name, and what a break of the connection leaves of them.
import assert from "node:assert/strict";
import { test } from "node:test";
import { AnswerError, Flag, InboundRequest, Push, decodeError, encodeError } from "../src/index.js";
import { ASK, OTHER, connected, settle, text } from "./fakes.js";

const REQUEST = Flag.INBOUND | Flag.LOGGED;
const PUSH = REQUEST | Flag.ONE_WAY;
/** A position in the log of this session's first home. */
const at = (offset, tag = 1n) => (tag << 48n) | BigInt(offset);

const back = async ({ net, clock, socket = net.last }, resumed = {}) => {
  socket.ended(1006);
  while (net.last === socket) await clock.advance(125);
  net.last.accept();
  net.last.control({
    type: "resumed", client_id: "slot.session.2", session_id: "session", revision: 2, set: "s1",
    resume: { token: "r2", window_s: 120 }, ...resumed,
  });
  return net.last;
};

test("a push reaches every listener of its event, those of all pushes, and nobody else", async (t) => {
  t.mock.method(console, "error", () => {});
  const { client, socket } = await connected();
  socket.control({ type: "service_update", revision: 2, events_added: { "game.other": OTHER } });
  const heard = [];
  client.on("game.ask", (push) => heard.push(["first", push instanceof Push, push.event, push.text()]));
  client.on("game.ask", async () => {
    throw new Error("reported, and in nobody's way");
  });
  const remove = client.on("game.ask", (push) => heard.push(["second", push.signal.aborted, push.number, push.logged]));
  client.on("game.other", () => heard.push(["other"]));
  client.on("push", (push) => heard.push(["all", push.event]));
  socket.frame(ASK, PUSH, at(1), "hey");
  assert.deepEqual(heard, [
    ["first", true, "game.ask", "hey"],
    ["second", false, at(1), true],
    ["all", "game.ask"],
  ]);
  await settle();
  assert.equal(console.error.mock.callCount(), 1);
  remove();
  socket.frame(ASK, PUSH, at(2), "hey");
  assert.deepEqual(heard.slice(3).map(([who]) => who), ["first", "all"]);
  assert.equal(socket.frames.length, 0, "a push is not answered");
});

test("a push that no log held has no cursor to be dropped by", async () => {
  const { client, socket } = await connected();
  const heard = [];
  client.on("game.ask", (push) => heard.push([push.text(), push.logged]));
  socket.frame(ASK, PUSH, at(9), "logged");
  socket.frame(ASK, Flag.INBOUND | Flag.ONE_WAY, 1n, "not");
  assert.deepEqual(heard, [["logged", true], ["not", false]]);
});

test("the newest listener answers a request; none, an error or a thrown one is an answer too", async (t) => {
  t.mock.method(console, "error", () => {});
  const { client, socket } = await connected();
  const ask = async (offset) => {
    socket.frame(ASK, REQUEST, at(offset), "ready?");
    await settle();
    const { handle, flags, number, payload } = socket.frames.at(-1);
    assert.deepEqual([handle, number], [ASK, at(offset)]);
    assert.ok(flags & Flag.INBOUND && flags & Flag.LOGGED);
    return flags & Flag.ERROR ? decodeError(payload).status : text(payload);
  };
  assert.equal(await ask(1), 501);
  client.on("game.ask", () => assert.fail("there is a newer one"));
  const remove = client.on("game.ask", async (request) => {
    assert.ok(request instanceof InboundRequest);
    return { heard: request.text(), event: request.event };
  });
  assert.equal(await ask(2), '{"heard":"ready?","event":"game.ask"}');
  remove();
  client.on("game.ask", () => {
    throw new AnswerError(409, "busy");
  });
  assert.equal(await ask(3), 409);
  client.on("game.ask", () => Promise.reject(new Error("a secret")));
  assert.equal(await ask(4), 500);
  assert.doesNotMatch(text(socket.frames.at(-1).payload), /secret/);
  client.on("game.ask", async function* () {
    yield "in ";
    yield "one frame";
  });
  assert.equal(await ask(5), "in one frame");
});

test("cancelled, too late and gone abort the handler, and nothing is sent for it any more", async () => {
  const { client, socket } = await connected();
  for (const [offset, status] of [[1, 499], [2, 408], [3, 404]]) {
    let request;
    const listening = client.on("game.ask", (asked) => {
      request = asked;
      return new Promise((resolve) => asked.signal.addEventListener("abort", () => resolve("too late")));
    });
    socket.frame(ASK, REQUEST, at(offset), "");
    await settle();
    assert.equal(request.signal.aborted, false);
    socket.frame(ASK, REQUEST | Flag.ERROR, at(offset) + 1n, encodeError(status));
    assert.equal(request.signal.aborted, false, "that was another one");
    socket.frame(ASK, REQUEST | Flag.ERROR, at(offset), encodeError(status));
    await settle();
    assert.equal(request.signal.aborted, true);
    assert.equal(request.signal.reason.status, status);
    listening();
  }
  assert.equal(socket.frames.length, 0);
});

test("what a resume replays is delivered once: below the cursor it is dropped, an end of it never is", async () => {
  const { client, net, clock, socket } = await connected();
  const heard = [];
  client.on("game.ask", (push) => heard.push(push.text()));
  socket.frame(ASK, PUSH, at(1), "one");
  socket.frame(ASK, PUSH, at(2), "two");
  socket.frame(ASK, PUSH, 7n, "to all");
  const next = await back({ net, clock, socket });
  assert.deepEqual([next.sent[0].cursor, next.sent[0].group_cursor], [String(at(2)), "7"]);
  next.frame(ASK, PUSH, at(2), "two");
  next.frame(ASK, PUSH, at(3), "three");
  next.frame(ASK, PUSH, 7n, "to all");
  next.frame(ASK, PUSH, at(1, 2n), "from the new home");
  assert.deepEqual(heard, ["one", "two", "to all", "three", "from the new home"]);
});

test("positions over 2^53 stay exact, from JSON and to it", async () => {
  const { net, clock, socket } = await connected();
  const cursor = at(0xffff_ffff_fff1n, 254n);
  socket.control({ type: "resume", token: "r2", cursor: String(cursor), group_cursor: "9007199254740993" });
  const next = await back({ net, clock, socket });
  assert.deepEqual([next.sent[0].cursor, next.sent[0].group_cursor], [String(cursor), "9007199254740993"]);
});

test("a renewed token is the one that is offered, and its positions only raise the cursors", async () => {
  const { net, clock, socket } = await connected();
  socket.frame(ASK, PUSH, at(5), "");
  socket.control({ type: "resume", token: "older", cursor: String(at(3)), group_cursor: "2" });
  socket.control({ type: "resume", token: "newest", cursor: String(at(8)), group_cursor: "1" });
  const { type, token, cursor, group_cursor } = (await back({ net, clock, socket })).sent[0];
  assert.deepEqual([type, token, cursor, group_cursor], ["resume", "newest", String(at(8)), "2"]);
  net.last.frame(ASK, PUSH, at(9), "");
  net.last.control({ type: "resume", token: "last", cursor: String(at(3)), group_cursor: "1" });
  assert.equal((await back({ net, clock })).sent[0].cursor, String(at(9)));
});

test("a gap counts from the connection that has the session, not from one that only finishes its calls", async () => {
  const { client, net, clock, socket } = await connected();
  const gaps = [];
  client.on("gap", (gap) => gaps.push(gap.cursor));
  client.call("echo.bytes").catch(() => {});
  socket.control({ type: "going_away", reconnect_after_ms: 0 });
  await clock.advance(0);
  net.last.accept();
  net.last.control({ type: "resumed", client_id: "c", session_id: "session", revision: 2, set: "s1", resume: { token: "r", window_s: 120 } });
  net.last.control({ type: "gap", from: "1", to: "4", cursor: String(at(4)), group_cursor: "9" });
  socket.control({ type: "gap", unknown: true, cursor: "0", group_cursor: "0" });
  assert.deepEqual(gaps, [String(at(4))]);
  const { cursor, group_cursor } = (await back({ net, clock })).sent[0];
  assert.deepEqual([cursor, group_cursor], [String(at(4)), "9"]);
  client.close();
});

for (const finishing of [true, false]) {
  test(`what a drained gateway still says to a session that is over hides nothing of the new one (${finishing ? "finishing a call" : "closing"})`, async () => {
    const { client, net, clock, socket } = await connected();
    const heard = [];
    client.on("push", (push) => heard.push(push.text()));
    client.on("gap", (gap) => heard.push(gap.from ?? "unknown"));
    if (finishing) client.call("echo.bytes").catch(() => {});
    socket.control({ type: "going_away", reconnect_after_ms: 0 });
    await clock.advance(0);
    net.last.accept();
    net.last.control({ type: "gap", unknown: true, cursor: "0", group_cursor: "0" });
    net.last.discover({ client_id: "other.session.1", session_id: "another", resume: { token: "r2", window_s: 120 } });
    socket.frame(ASK, PUSH, at(900), "to the old session");
    socket.frame(ASK, REQUEST, at(901), "to the old session");
    socket.control({ type: "gap", from: "1", to: "4", cursor: String(at(904)), group_cursor: "9" });
    net.last.frame(ASK, PUSH, at(3), "to the new one");
    assert.deepEqual(heard, ["unknown", "to the new one"]);
    await settle();
    assert.equal(net.last.frames.length, 0, "nor is it answered there");
    assert.equal((await back({ net, clock, socket: net.last })).sent[0].cursor, String(at(3)));
    client.close();
  });
}

test("a set that changed meanwhile comes whole with resumed, one that did not is kept", async () => {
  const { client, net, clock } = await connected();
  await back({ net, clock });
  assert.deepEqual([...client.events.keys()], ["game.ask"]);
  await back({ net, clock }, { set: "s2", services: {}, events: { "game.other": OTHER } });
  assert.deepEqual([[...client.services.keys()], [...client.events.keys()]], [[], ["game.other"]]);
  assert.equal(client.session.clientId, "slot.session.2");
});

test("the newest 32 answers are kept, listed and repeated, but not those that somebody else ended", async () => {
  const { client, net, clock, socket } = await connected();
  client.on("game.ask", (request) => (request.text() === "slow" ? new Promise(() => {}) : request.number.toString()));
  for (let offset = 1; offset <= 40; offset++) {
    socket.frame(ASK, REQUEST, at(offset), "");
    await settle();
  }
  socket.frame(ASK, REQUEST | Flag.ERROR, at(40), encodeError(404));
  socket.frame(ASK, REQUEST, at(41), "slow");
  socket.frame(ASK, REQUEST, at(42), "slow");
  await settle();
  const next = await back({ net, clock, socket });
  const kept = Array.from({ length: 31 }, (_, index) => String(at(9 + index)));
  assert.deepEqual(next.sent[0].open, [...kept.slice(1), String(at(41)), String(at(42))]);
  assert.deepEqual(next.frames.map(({ number, payload }) => [String(number), text(payload)]), kept.map((number) => [number, number]));
});

test("an answer that is given while there is no connection waits for the resume", async () => {
  const { client, net, clock, socket } = await connected();
  let answer;
  client.on("game.ask", () => new Promise((resolve) => (answer = resolve)));
  socket.frame(ASK, REQUEST, at(1), "");
  await settle();
  socket.ended(1006);
  answer("thought about it");
  await settle();
  await clock.advance(125);
  net.last.accept();
  assert.deepEqual(net.last.sent[0].open, [String(at(1))]);
  net.last.control({ type: "resumed", client_id: "c", session_id: "session", revision: 2, set: "s1", resume: { token: "r", window_s: 120 } });
  assert.deepEqual(net.last.frames.map(({ payload }) => text(payload)), ["thought about it"]);
});

test("kept answers end with the session, and when no deadline can be open any more", async () => {
  const { client, net, clock, socket } = await connected();
  client.on("game.ask", () => "yes");
  socket.frame(ASK, REQUEST, at(1), "");
  await settle();
  const next = await back({ net, clock, socket }, { ping_s: 0 });
  assert.equal(next.frames.length, 1);
  await clock.advance(60 * 60_000 + 1);
  net.last.control({ type: "resume", token: "r3", cursor: "0", group_cursor: "0" });
  const later = await back({ net, clock });
  assert.deepEqual([later.sent[0].open, later.frames.length], [[], 0]);
  later.frame(ASK, REQUEST, at(2), "");
  await settle();
  later.discover({ session_id: "another" });
  assert.deepEqual((await back({ net, clock })).sent[0].open, []);
});
