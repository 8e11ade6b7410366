// Services speak first: over the internal port of the real gateway, to the client, and on over broken connections.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { WebSocket } from "ws";
import { AnswerError, Client, ClosedError, Flag, logPosition } from "../../clients/javascript/src/index.js";
import { startGateway } from "./gateway.js";

const ADA = { name: "ada", password: "lovelace" };
const HOUSE = "https://demo.bannou.dev/";

/** @type {import("./gateway.js").Gateway} */
let gateway;
before(async () => (gateway = await startGateway()));
after(() => gateway?.stop());

/** A connected client that is closed when the test ends; `prepare` adds its listeners before it opens. */
async function client(t, prepare = (_) => {}, options = {}) {
  const bannou = new Client(gateway.connectUrl, { WebSocket, random: () => 0, ...options });
  t.after(() => bannou.close());
  prepare(bannou);
  return bannou.open();
}

/** One who is logged in. */
async function player(t, prepare, options) {
  const bannou = await client(t, prepare, options);
  await bannou.call("auth.login", ADA);
  return bannou;
}

const me = (bannou) => `clients/${bannou.session.clientId}`;
const status = async (response) => [(await response).status, await (await response).text()];

/** Waits until `list` has so many. */
const many = async (list, count, changed) => {
  while (list.length < count) await changed();
};

// What arrives --------------------------------------------------------------------------------------------------

test("a push arrives under its event's name and handle, and the service hears that it did", async (t) => {
  const bannou = await player(t);
  const arrived = bannou.once("game.match_found");
  const frame = bannou.once("frame", { accept: (tap) => tap.direction === "in" && Boolean(tap.frame && tap.frame.flags & Flag.LOGGED) });
  assert.deepEqual(await status(gateway.send(me(bannou), "game.match_found", { match: "m1" })), [200, '{"delivered":1}']);
  const push = await arrived;
  assert.deepEqual(push.json(), { match: "m1" });
  assert.deepEqual([push.event, push.handle, push.logged], ["game.match_found", bannou.events.get("game.match_found"), true]);
  assert.equal((await frame).frame.flags, Flag.INBOUND | Flag.ONE_WAY | Flag.LOGGED);
  assert.ok(logPosition(push.number).tag > 0, "from the log of its gateway");
});

test("to everybody, a tier, a subject: whoever may receive it", async (t) => {
  const heard = { anonymous: [], ada: [] };
  const listen = (list) => (bannou) => bannou.on("push", (push) => list.push(`${push.event} ${push.text()}`));
  const stranger = await client(t, listen(heard.anonymous));
  const ada = await player(t, listen(heard.ada));
  await gateway.send("all", "chat.notice", "all");
  await gateway.send("tiers/player", "chat.notice", "players");
  await gateway.send(`subjects/${encodeURIComponent(HOUSE)}/ada`, "game.match_found", "ada");
  await gateway.send("all", "game.match_found", "whoever may");
  await gateway.send("all", "chat.notice", "last");
  await many(heard.anonymous, 2, () => stranger.once("push"));
  await many(heard.ada, 5, () => ada.once("push"));
  assert.deepEqual(heard.anonymous, ["chat.notice all", "chat.notice last"]);
  assert.deepEqual([...heard.ada].sort(), ["chat.notice all", "chat.notice last", "chat.notice players", "game.match_found ada", "game.match_found whoever may"]);
  const refused = await gateway.send(me(stranger), "game.match_found", "not for strangers");
  assert.equal(refused.status, 403);
});

test("a request's answer is the client's: its words, its errors, its want of a handler", async (t) => {
  let answer = () => ({ ready: true });
  const bannou = await player(t, (b) => b.on("chat.notice", () => {}));
  const ask = () => gateway.send(me(bannou), "game.ready_check", { match: "m" });
  assert.equal((await ask()).status, 501, "nobody listens");
  bannou.on("game.ready_check", (request) => answer(request));
  assert.deepEqual(await status(ask()), [200, '{"ready":true}']);
  answer = () => {
    throw new AnswerError(409, "busy");
  };
  assert.deepEqual(await status(ask()), [409, "busy"]);
  answer = async (request) => request.json().match.repeat(3);
  assert.deepEqual(await status(ask()), [200, "mmm"]);
});

test("an answer that takes too long is 408 to the service, and the handler's signal is aborted", async (t) => {
  let aborted;
  const over = new Promise((resolve) => (aborted = resolve));
  const bannou = await player(t, (b) =>
    b.on("game.ready_check", ({ signal }) => new Promise(() => signal.addEventListener("abort", () => aborted(signal.reason.status)))));
  const late = await gateway.send(me(bannou), "game.ready_check", "", { "bannou-timeout-ms": "150" });
  assert.equal(late.status, 408);
  assert.equal(await over, 408);
});

test("the demo's match is told, asked and told again; its notice reaches everybody", async (t) => {
  const told = [];
  const notices = [];
  const stranger = await client(t, (b) => b.on("chat.notice", (push) => notices.push(push.json())));
  const bannou = await player(t, (b) => {
    b.on("game.match_found", (push) => told.push(push.json().status));
    b.on("game.ready_check", () => ({ ready: true }));
  });
  await bannou.call("game.find_match", {});
  await many(told, 2, () => bannou.once("push"));
  assert.deepEqual(told, ["found", "starting"]);
  await bannou.call("chat.say", { text: "hello" });
  await many(notices, 1, () => stranger.once("push"));
  assert.deepEqual(notices, [{ from: "ada", text: "hello" }]);
});

test("who is gone is 404, and an event that is not declared is refused", async (t) => {
  const bannou = await player(t);
  const gone = me(bannou);
  assert.equal((await gateway.send(gone, "game.unheard_of", "")).status, 403);
  bannou.close();
  let last;
  do last = (await gateway.send(gone, "game.match_found", "")).status;
  while (last === 200);
  assert.equal(last, 404);
});

// Over a break of the connection --------------------------------------------------------------------------------

test("a broken connection is resumed: the same session and handles, a new address, the old one still leads there", async (t) => {
  const pushed = [];
  const bannou = await player(t, (b) => b.on("game.match_found", (push) => pushed.push(push.text())));
  const { sessionId, clientId } = bannou.session;
  const handles = [...bannou.services];
  const again = bannou.once("discovery");
  bannou.interrupt();
  const { resumed } = await again;
  assert.equal(resumed, true);
  assert.equal(bannou.session.sessionId, sessionId);
  assert.notEqual(bannou.session.clientId, clientId);
  assert.deepEqual([...bannou.services], handles);
  assert.equal((await bannou.call("account.get", "")).json().subject, "ada", "its rights are still there");
  for (const id of [clientId, bannou.session.clientId]) {
    assert.equal((await gateway.send(`clients/${id}`, "game.match_found", id)).status, 200);
  }
  await many(pushed, 2, () => bannou.once("push"));
  assert.deepEqual(pushed, [clientId, bannou.session.clientId]);
});

test("what is sent meanwhile comes after the resume; over many breaks each message comes once", async (t) => {
  const numbers = [];
  const gaps = [];
  const bannou = await player(t, (b) => {
    b.on("game.match_found", (push) => numbers.push(Number(push.text())));
    b.on("gap", (gap) => gaps.push(gap));
  });
  const address = me(bannou);
  const COUNT = 120;
  for (let number = 0; number < COUNT; number++) {
    if (number % 20 === 10) bannou.interrupt();
    // While the client is away the receipt waits for it.
    await Promise.race([gateway.send(address, "game.match_found", String(number)), bannou.once("discovery")]);
  }
  await many(numbers, COUNT, () => bannou.once("push"));
  assert.deepEqual(numbers.toSorted((a, b) => a - b), Array.from({ length: COUNT }, (_, number) => number), "each once");
  assert.deepEqual(gaps, []);
});

test("to everybody, while one is away: it comes after the resume", async (t) => {
  const heard = [];
  const bannou = await client(t, (b) => b.on("chat.notice", (push) => heard.push(push.text())));
  await gateway.send("all", "chat.notice", "before");
  await many(heard, 1, () => bannou.once("push"));
  const again = bannou.once("discovery");
  bannou.interrupt();
  await gateway.send("all", "chat.notice", "meanwhile");
  await again;
  await gateway.send("all", "chat.notice", "after");
  await many(heard, 3, () => bannou.once("push"));
  assert.deepEqual(heard, ["before", "meanwhile", "after"]);
});

test("a question that was asked before the break is answered after it", async (t) => {
  let asked;
  let answer;
  const bannou = await player(t, (b) => b.on("game.ready_check", (request) => {
    asked?.(request);
    return new Promise((resolve) => (answer = resolve));
  }));
  const arrived = new Promise((resolve) => (asked = resolve));
  const outcome = status(gateway.send(me(bannou), "game.ready_check", "?"));
  await arrived;
  const again = bannou.once("discovery");
  bannou.interrupt();
  answer("while away");
  await again;
  assert.deepEqual(await outcome, [200, "while away"]);
});

test("an idempotent call survives the break, any other is in doubt", async (t) => {
  const bannou = await player(t);
  const again = bannou.call("echo.slow", { ms: 400 }, { idempotent: true });
  const once = assert.rejects(bannou.call("echo.slow", { ms: 400 }), (error) => error instanceof ClosedError && error.inDoubt);
  await bannou.ping();
  bannou.interrupt();
  await once;
  assert.deepEqual((await again).json(), { waited_ms: 400 });
});

test("a client that does not want to resume begins afresh, with the token that login gave", async (t) => {
  const bannou = await player(t, () => {}, { resume: false });
  const { sessionId } = bannou.session;
  const again = bannou.once("discovery");
  bannou.interrupt();
  assert.equal((await again).resumed, false);
  assert.notEqual(bannou.session.sessionId, sessionId);
  await bannou.available("game.connect");
});

test("a token of another gateway is a gap, then a session of its own", async (t) => {
  const other = await startGateway();
  t.after(() => other.stop());
  let url = gateway.connectUrl;
  class Detour extends WebSocket {
    constructor(_, protocols, options) {
      super(url, protocols, options);
    }
  }
  const bannou = await client(t, () => {}, { WebSocket: Detour });
  const gap = bannou.once("gap");
  const again = bannou.once("discovery");
  url = other.connectUrl;
  bannou.interrupt();
  assert.equal((await gap).unknown, true);
  assert.equal((await again).resumed, false);
  assert.ok(bannou.services.has("echo.bytes"));
});
