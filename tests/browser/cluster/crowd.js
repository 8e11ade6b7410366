// Clients under load: each calls all the time, and is pushed to through RabbitMQ. Everything is accounted for.
import { setTimeout as sleep } from "node:timers/promises";
import { LOST_MS, Member, count } from "./member.js";

/** Between two pushes to somebody of the crowd. */
const PUSH_EVERY_MS = 100;

/** Many clients, and who pushes to them. */
export class Crowd {
  /** What was confirmed as delivered, by name: to whom, and when it was asked for. */
  confirmed = new Map();
  pushes = { asked: 0, refused: new Map(), failed: 0 };
  #pushing;
  #stopped = false;

  /**
   * @param {string} url  the gateways'
   * @param {(order: object) => Promise<any>} [say]  gives an order to the speaker; without it nobody is pushed to
   * @param {{ size?: number, options?: object }} [of]  how many, and what each client is made with
   */
  constructor(url, say, { size = 200, options } = {}) {
    this.members = Array.from({ length: size }, () => new Member(url, options));
    this.say = say;
  }

  async start() {
    for (let i = 0; i < this.members.length; i += 20) await Promise.all(this.members.slice(i, i + 20).map((member) => member.start()));
    this.#pushing = this.say && this.#push();
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
    const asked = performance.now();
    this.pushes.asked++;
    try {
      const order = { key: clientId, headers: { "bannou-service": "account", "bannou-event": "welcome" }, wait_ms: 15_000 };
      const { answers, error } = await this.say({ ...order, body: Buffer.from(JSON.stringify({ name })).toString("base64") });
      const status = answers?.[0]?.headers["bannou-status"];
      if (status === 200) this.confirmed.set(name, { member, clientId, asked, confirmed: performance.now() });
      else count(this.pushes.refused, status ?? error ?? "no receipt");
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

  /** Pushes that were confirmed, did not arrive, and of whose loss the client was not told after they were asked for. */
  missing() {
    const lost = [];
    for (const [name, { member, clientId, asked, confirmed }] of this.confirmed) {
      if (member.heard.has(name) || member.toldOfALoss(asked)) continue;
      const since = member.gaps.map((at) => `${((asked - at) / 1000).toFixed(1)} s`);
      lost.push(`${name} for ${clientId}, confirmed after ${((confirmed - asked) / 1000).toFixed(1)} s; now it is ${member.client.session.clientId}; gaps before it was asked for: ${since.join(", ") || "none"}`);
    }
    return lost;
  }

  /** Pushes that came more than once, and calls that ended as the protocol does not let them end. */
  strange() {
    const all = [];
    for (const { heard, calls, client } of this.members) {
      for (const [name, times] of heard) if (times > 1) all.push(`${name} came ${times} times to ${client.session.clientId}`);
      for (const [why, times] of calls.unlike) all.push(`${times} calls of ${client.session.clientId} ended by ${why}`);
      if (calls.wrong > 0) all.push(`${calls.wrong} answers to ${client.session.clientId} belong to other calls`);
    }
    return all;
  }

  async stop() {
    this.#stopped = true;
    await Promise.all([this.#pushing, ...this.members.map((member) => member.stop())]);
  }

  async close() {
    await Promise.all(this.members.map((member) => member.client.close()));
  }

  summary() {
    const total = { asked: 0, answered: 0, wrong: 0, doubtful: 0, unlike: 0, gaps: 0, fresh: 0, heard: 0, refused: {} };
    for (const { calls, gaps, fresh, heard } of this.members) {
      for (const key of ["asked", "answered", "wrong", "doubtful"]) total[key] += calls[key];
      total.gaps += gaps.length;
      total.fresh += fresh;
      total.heard += heard.size;
      for (const times of calls.unlike.values()) total.unlike += times;
      for (const [why, times] of calls.refused) total.refused[why] = (total.refused[why] ?? 0) + times;
    }
    const refusals = Object.values(total.refused).reduce((sum, times) => sum + times, 0);
    const unsettled = total.asked - total.answered - total.wrong - total.doubtful - total.unlike - refusals;
    return { ...total, unsettled, confirmed: this.confirmed.size, pushes: { ...this.pushes, refused: Object.fromEntries(this.pushes.refused) } };
  }
}
