// Clients under load, with the project's own JavaScript client: each calls all the time, and is pushed to through RabbitMQ. Everything is accounted for.
import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { WebSocket } from "ws";
import { Client } from "../../../clients/javascript/src/index.js";

/** Between two calls of a client: 200 clients make some 400 calls a second. */
const BETWEEN_MS = 500;
/** Between two pushes to somebody of the crowd. */
const PUSH_EVERY_MS = 100;
/** A client that is not served for longer is lost: no fault here lasts as long. */
const LOST_MS = 120_000;

/** One client, and what became of all that it did. */
class Member {
  calls = { answered: 0, refused: new Map(), doubtful: 0, unsettled: 0, wrong: 0 };
  heard = new Set();
  gaps = 0;
  fresh = 0;
  #stopped = false;
  #loop;

  constructor(url) {
    this.client = new Client(url, { WebSocket, timeout: 20_000, connectTimeout: LOST_MS });
    // A session that could not be resumed begins afresh: what was for the old one is told by its end, not by a gap.
    this.client.on("discovery", ({ resumed }) => void (resumed ? 0 : this.fresh++));
    this.client.on("gap", () => void this.gaps++);
    this.client.on("account.welcome", (push) => void this.heard.add(push.json().name));
  }

  async start() {
    await this.client.open();
    this.#loop = this.#callAll();
  }

  async #callAll() {
    await sleep(Math.random() * BETWEEN_MS);
    while (!this.#stopped) {
      await this.callOnce();
      await sleep(BETWEEN_MS);
    }
  }

  /** @returns {Promise<boolean>} whether the service answered with what it was told */
  async callOnce() {
    const said = randomUUID();
    this.calls.unsettled++;
    try {
      const answer = await this.client.call("echo.bytes", said, { idempotent: true });
      const right = answer.text() === said;
      this.calls[right ? "answered" : "wrong"]++;
      return right;
    } catch (error) {
      const why = error.status ?? error.name;
      this.calls.refused.set(why, (this.calls.refused.get(why) ?? 0) + 1);
      if (error.inDoubt) this.calls.doubtful++;
      return false;
    } finally {
      this.calls.unsettled--;
    }
  }

  async stop() {
    this.#stopped = true;
    await this.#loop;
  }
}

/** Many clients, and who pushes to them. */
export class Crowd {
  /** What was confirmed as delivered, by name: to whom, and in which of its sessions. */
  confirmed = new Map();
  pushes = { asked: 0, refused: new Map(), failed: 0 };
  #pushing;
  #stopped = false;

  /** @param {string} url  the gateways' @param {(order: object) => Promise<any>} say  gives an order to the speaker */
  constructor(url, say, size = 200) {
    this.members = Array.from({ length: size }, () => new Member(url));
    this.say = say;
  }

  async start() {
    for (let i = 0; i < this.members.length; i += 20) await Promise.all(this.members.slice(i, i + 20).map((member) => member.start()));
    this.#pushing = this.#push();
  }

  async #push() {
    const open = new Set();
    for (let number = 0; !this.#stopped; number++) {
      const member = this.members[Math.floor(Math.random() * this.members.length)];
      // Bounded: a broker that is away is not asked a thousand times at once.
      if (open.size < 16) {
        const one = this.#pushOne(member, `push ${number}`).finally(() => open.delete(one));
        open.add(one);
      }
      await sleep(PUSH_EVERY_MS);
    }
    await Promise.all(open);
  }

  async #pushOne(member, name) {
    const clientId = member.client.session.clientId;
    if (!clientId) return;
    this.pushes.asked++;
    try {
      const order = { key: clientId, headers: { "bannou-service": "account", "bannou-event": "welcome" }, wait_ms: 15_000 };
      const { answers, error } = await this.say({ ...order, body: Buffer.from(JSON.stringify({ name })).toString("base64") });
      const status = answers?.[0]?.headers["bannou-status"];
      if (status === 200) this.confirmed.set(name, { member, clientId });
      else this.pushes.refused.set(status ?? error ?? "no receipt", (this.pushes.refused.get(status ?? error ?? "no receipt") ?? 0) + 1);
    } catch {
      this.pushes.failed++;
    }
  }

  /** Waits until everybody is served again. @returns {Promise<number>} milliseconds that it took */
  async served(within = LOST_MS) {
    const began = Date.now();
    const left = async (member) => {
      while (!(await member.callOnce())) {
        if (Date.now() - began > within) throw new Error(`a client is not served after ${within / 1000} s: ${member.client.state}`);
        await sleep(100);
      }
    };
    await Promise.all(this.members.map(left));
    return Date.now() - began;
  }

  /** Pushes that were confirmed and neither arrived nor were told as a gap or by the end of their session. */
  missing() {
    const lost = [];
    for (const [name, { member, clientId }] of this.confirmed) {
      const told = member.gaps > 0 || member.client.session.clientId !== clientId;
      if (!member.heard.has(name) && !told) lost.push(`${name} for ${clientId}`);
    }
    return lost;
  }

  async stop() {
    this.#stopped = true;
    await Promise.all([this.#pushing, ...this.members.map((member) => member.stop())]);
  }

  async close() {
    await Promise.all(this.members.map((member) => member.client.close()));
  }

  summary() {
    const total = { answered: 0, wrong: 0, doubtful: 0, unsettled: 0, gaps: 0, fresh: 0, heard: 0, refused: {} };
    for (const { calls, gaps, fresh, heard } of this.members) {
      for (const key of ["answered", "wrong", "doubtful", "unsettled"]) total[key] += calls[key];
      total.gaps += gaps;
      total.fresh += fresh;
      total.heard += heard.size;
      for (const [why, count] of calls.refused) total.refused[why] = (total.refused[why] ?? 0) + count;
    }
    return { ...total, confirmed: this.confirmed.size, pushes: { ...this.pushes, refused: Object.fromEntries(this.pushes.refused) } };
  }
}
