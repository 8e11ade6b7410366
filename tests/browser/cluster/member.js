// One client of the crowd, with the project's own JavaScript client, and what became of all that it did and was told.
import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { WebSocket } from "ws";
import { Client, ClosedError, UnavailableError } from "../../../clients/javascript/src/index.js";

/** Between two calls of a client: 200 clients make some 400 calls a second. */
const BETWEEN_MS = 500;
/** Of calls that are broken off, those that may be made again; the others end in doubt. */
const MADE_AGAIN = 0.75;
/** Between two messages that a gateway sends together. */
const BREATH_MS = 1000;
/** A client that is not served for longer is lost: no fault here lasts as long. */
export const LOST_MS = 120_000;

export class Member {
  /** Each call that was asked for ends as exactly one of the others; `unlike` are ends that the protocol does not know. */
  calls = { asked: 0, answered: 0, refused: new Map(), doubtful: 0, wrong: 0, unlike: new Map() };
  /** Names of pushes, each with how often it came. */
  heard = new Map();
  /** When the loss of something was told, on this process's clock. */
  gaps = [];
  fresh = 0;
  #stopped = false;
  #loop;

  /** @param {string} url @param {import("../../../clients/javascript/src/index.js").ClientOptions} [options] */
  constructor(url, options = {}) {
    this.client = new Client(url, { WebSocket, timeout: 20_000, connectTimeout: LOST_MS, ...options });
    this.client.on("gap", () => void this.gaps.push(performance.now()));
    this.client.on("discovery", ({ resumed }) => {
      if (resumed) return;
      this.fresh++;
      // A session that could not be resumed is told by `gap` and then the new one, in one breath: until then its client_id was in use.
      const now = performance.now();
      if (now - this.gaps.at(-1) < BREATH_MS) this.gaps[this.gaps.length - 1] = now;
    });
    this.client.on("account.welcome", (push) => {
      const { name } = push.json();
      this.heard.set(name, (this.heard.get(name) ?? 0) + 1);
    });
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
    this.calls.asked++;
    try {
      const answer = await this.client.call("echo.bytes", said, { idempotent: Math.random() < MADE_AGAIN });
      const right = answer.text() === said;
      this.calls[right ? "answered" : "wrong"]++;
      return right;
    } catch (error) {
      this.#ended(error);
      return false;
    }
  }

  /** An answer that is a refusal, a call that never left, or one in doubt. The client's own deadline is none of these: nobody said anything. */
  #ended(error) {
    const { refused, unlike } = this.calls;
    if (error.inDoubt) this.calls.doubtful++;
    else if (error.status !== undefined) count(refused, error.status);
    else if (error instanceof ClosedError || error instanceof UnavailableError) count(refused, error.name);
    else count(unlike, error.name);
  }

  /** @param {number} since  on this process's clock @returns {boolean} whether a loss was told after it */
  toldOfALoss(since) {
    return this.gaps.some((at) => at > since);
  }

  async stop() {
    this.#stopped = true;
    await this.#loop;
  }
}

/** @param {Map<any, number>} counts */
export function count(counts, key) {
  counts.set(key, (counts.get(key) ?? 0) + 1);
}
