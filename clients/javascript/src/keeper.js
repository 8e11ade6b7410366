/**
 * Keeps a client connected: opens links, comes back after they end, moves to another gateway when one drains.
 *
 * @module
 */

import { Link } from "./link.js";
import { STABLE_MS, afterClose, delay, jitter } from "./reconnect.js";
import { findWebSocket, socketUrl } from "./socket.js";

/** A handshake, and the first word of the gateway after it, take no longer than this. */
const ATTEMPT_MS = 10_000;
/** A resume token is good for the window and this much. */
const RESUME_GRACE_MS = 90_000;
/** How long a retired link may finish its calls. */
const RETIRE_MS = 60_000;
const MAX_RETIRED = 2;
/** How long a ping of the watchdog waits. */
const PING_MS = 10_000;

/**
 * @typedef {"idle" | "connecting" | "open" | "waiting" | "closed"} State
 *
 * @typedef {object} StateChange
 * @property {State} state
 * @property {State} previous
 * @property {number} [attempt]  of `waiting`: how many attempts in a row have failed
 * @property {number} [delayMs]  of `waiting`: until the next attempt
 * @property {number} [code]  of the close before it
 * @property {string} [reason]
 */

/**
 * @typedef {object} KeeperHooks
 * @property {(link: Link, message: { type: string, [field: string]: any }) => void} control
 * @property {(link: Link, frame: import("./header.js").Frame) => void} frame
 * @property {(change: StateChange) => void} state
 * @property {() => string | undefined | Promise<string | undefined>} token
 * @property {() => void} tokenRefused
 * @property {(exchanges: import("./exchange.js").Exchange[]) => void} orphans  calls that may be made again
 * @property {() => { [field: string]: any }} resume  the fields of a `resume` message
 * @property {((tap: import("./link.js").Tap) => void) | undefined} tap
 */

/** The life of a client's connections. At most one is current; one may be coming, and few may be finishing. */
export class Keeper {
  /** @type {State} */
  state = "idle";
  /** @type {Link | undefined} */
  current;
  /** @type {Link | undefined} A link that has no session yet. */
  #next;
  /** @type {Map<Link, any>} Links that finish their calls, each with the timer that ends it. */
  #retired = new Map();
  #attempt = 0;
  #openedAt = 0;
  #generation = 0;
  /** @type {any} */
  #timer;
  /** @type {any} */
  #attemptTimer;
  /** @type {any} */
  #watchdog;
  #resumeAt = 0;

  /**
   * @param {object} by
   * @param {string} by.url
   * @param {import("./session.js").Session} by.session
   * @param {import("./exchange.js").Clock} by.clock
   * @param {() => number} by.random
   * @param {{ maxInFlight: number, maxControls: number, maxBuffered: number }} by.limits
   * @param {{ reconnect: boolean, resume: boolean, WebSocket?: import("./socket.js").SocketConstructor, socketOptions?: any }} by.options
   * @param {KeeperHooks} by.hooks
   */
  constructor({ url, session, clock, random, limits, options, hooks }) {
    this.url = url;
    this.session = session;
    this.clock = clock;
    this.random = random;
    this.limits = limits;
    this.options = options;
    this.hooks = hooks;
  }

  /** Every link that may still bring an answer. */
  get links() {
    return [...(this.current ? [this.current] : []), ...this.#retired.keys()];
  }

  /**
   * Another link has taken its place: it finishes its calls, or its close handshake.
   *
   * @param {Link} link
   */
  isOver(link) {
    return link !== this.current && link !== this.#next;
  }

  /** Starts, or tries again at once when it was waiting. */
  open() {
    if (this.state === "open" || this.state === "connecting") return;
    this.clock.clearTimeout(this.#timer);
    this.#connect();
  }

  /**
   * @param {number} code
   * @param {string} reason
   */
  close(code, reason) {
    this.#stop();
    const links = [...this.links, ...(this.#next ? [this.#next] : [])];
    this.current = this.#next = undefined;
    for (const timer of this.#retired.values()) this.clock.clearTimeout(timer);
    this.#retired.clear();
    for (const link of links) link.close(code, reason);
    this.#enter("closed", { code, reason });
  }

  /** Ends the current link as if the network had: for tools that show what happens then. */
  interrupt() {
    (this.current ?? this.#next)?.drop(1006, "interrupted");
  }

  #stop() {
    this.#generation++;
    this.clock.clearTimeout(this.#timer);
    this.clock.clearTimeout(this.#attemptTimer);
    this.clock.clearTimeout(this.#watchdog);
  }

  /**
   * @param {State} state
   * @param {Partial<StateChange>} [about]
   */
  #enter(state, about = {}) {
    const previous = this.state;
    if (state === previous && state !== "waiting") return;
    this.state = state;
    this.hooks.state({ state, previous, ...about });
  }

  async #connect() {
    const generation = ++this.#generation;
    if (!this.current) this.#enter("connecting");
    const { resume } = this.session;
    const good = resume && this.clock.now() - this.#resumeAt < resume.windowS * 1000 + RESUME_GRACE_MS;
    const resuming = this.options.resume && Boolean(good);
    let link;
    try {
      const [WebSocket, token] = await Promise.all([findWebSocket(this.options.WebSocket), this.hooks.token()]);
      if (generation !== this.#generation) return;
      const protocols = ["bannou.v1"];
      if (token) protocols.push(`bannou.bearer.${token}`);
      if (resuming) protocols.push("bannou.resume");
      const socket = new WebSocket(socketUrl(this.url), protocols, this.options.socketOptions);
      link = new Link(socket, { clock: this.clock, limits: this.limits, hooks: this.#linkHooks() });
    } catch (error) {
      if (generation !== this.#generation) return;
      console.error("bannou: cannot connect", error);
      this.#enter("closed", { reason: error instanceof Error ? error.message : String(error) });
      return;
    }
    link.resuming = resuming;
    this.#next = link;
    this.clock.clearTimeout(this.#attemptTimer);
    this.#attemptTimer = this.clock.setTimeout(() => link.drop(1006, "no answer in time"), ATTEMPT_MS);
  }

  /** @returns {import("./link.js").LinkHooks} */
  #linkHooks() {
    return {
      // A gateway that was offered a resume says nothing before it.
      opened: (link) => link.resuming && link.sendControl({ type: "resume", ...this.hooks.resume() }),
      control: (link, message) => {
        if (message.type === "closing") link.closing = /** @type {any} */ (message);
        this.hooks.control(link, message);
      },
      frame: (link, frame) => {
        this.hooks.frame(link, frame);
        if (this.#retired.has(link) && link.exchanges.size === 0) link.close();
      },
      tap: this.hooks.tap,
      orphans: this.hooks.orphans,
      gone: (link, code, reason) => this.#ended(link, code, reason),
    };
  }

  /**
   * A link has its session: it is the current one, and the one before it finishes its calls.
   *
   * @param {Link} link
   */
  established(link) {
    if (link !== this.#next && link !== this.current) return;
    this.clock.clearTimeout(this.#attemptTimer);
    const previous = this.current;
    if (this.#next === link) this.#next = undefined;
    this.current = link;
    if (previous && previous !== link) this.#retire(previous);
    this.#openedAt = this.clock.now();
    this.#watch(link);
    this.#enter("open");
  }

  /** The resume token was renewed: its window begins again. */
  renewed() {
    this.#resumeAt = this.clock.now();
  }

  /** @param {Link} link */
  #retire(link) {
    if (link.exchanges.size === 0) return link.close();
    for (const oldest of this.#retired.keys()) {
      if (this.#retired.size < MAX_RETIRED) break;
      oldest.drop(1000, "retired");
    }
    this.#retired.set(link, this.clock.setTimeout(() => link.drop(1000, "retired"), RETIRE_MS));
  }

  /**
   * The gateway drains: connect elsewhere after a delay, while the old link still answers.
   *
   * @param {Link} link
   * @param {any} afterMs
   */
  goingAway(link, afterMs) {
    if (link !== this.current || !this.options.reconnect) return;
    this.clock.clearTimeout(this.#timer);
    this.#timer = this.clock.setTimeout(() => {
      if (link === this.current && !this.#next) this.#connect();
    }, delay(afterMs));
  }

  /** @param {Link} link */
  #watch(link) {
    this.clock.clearTimeout(this.#watchdog);
    const everyMs = this.session.pingS * 1000;
    if (everyMs <= 0) return;
    // Browsers answer WebSocket pings without telling the page, so silence is broken by a ping of ours.
    this.#watchdog = this.clock.setTimeout(() => {
      if (link !== this.current) return;
      if (this.clock.now() - link.heardAt >= everyMs) {
        Promise.resolve()
          .then(() => link.controls.ask({ type: "ping" }, PING_MS))
          .catch(() => link === this.current && link.drop(1006, "nothing heard"));
      }
      this.#watch(link);
    }, everyMs);
  }

  /**
   * @param {Link} link
   * @param {number} code
   * @param {string} reason
   */
  #ended(link, code, reason) {
    this.clock.clearTimeout(this.#retired.get(link));
    if (this.#retired.delete(link)) return;
    const wasCurrent = link === this.current;
    if (!wasCurrent && link !== this.#next) return;
    if (wasCurrent) this.current = undefined;
    else this.#next = undefined;
    // While a current link lives, or another is coming, this end only matters for when to try again.
    if (wasCurrent && this.#next) return this.#enter("connecting", { code, reason });

    const { how, afterMs } = afterClose(code, link.closing);
    const why = link.closing?.reason || reason;
    if (code === 4401) this.hooks.tokenRefused();
    if (how !== "resume") this.session.resume = undefined;
    if ((how === "no" || !this.options.reconnect) && !this.current) {
      this.#stop();
      return this.#enter("closed", { code, reason: why });
    }
    if (wasCurrent && this.clock.now() - this.#openedAt >= STABLE_MS) this.#attempt = 0;
    const delayMs = afterMs + jitter(this.#attempt++, this.random);
    this.#stop();
    if (this.current) this.#watch(this.current);
    this.#timer = this.clock.setTimeout(() => this.#connect(), delayMs);
    if (!this.current) this.#enter("waiting", { attempt: this.#attempt, delayMs, code, reason: why });
  }
}
