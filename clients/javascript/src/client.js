/**
 * The client: what an application holds.
 *
 * @module
 */

import { Emitter } from "./emitter.js";
import { CancelledError, ClosedError, UnavailableError } from "./errors.js";
import { collector } from "./exchange.js";
import { Flag } from "./header.js";
import { Inbound, Push } from "./inbound.js";
import { Keeper } from "./keeper.js";
import { opened } from "./opening.js";
import { systemClock } from "./options.js";
import { Orphans } from "./orphans.js";
import { toBytes } from "./payload.js";
import { PeerMessage, Peers } from "./peers.js";
import { Session, position } from "./session.js";
import { AnswerStream } from "./stream.js";

const CONTROL_MS = 10_000;
const MAX_CONTROLS = 256;
const MAX_DESCRIBED = 4096;

/** @typedef {import("./options.js").ClientOptions["token"]} Token */

/**
 * One client of one gateway fleet, over as many connections as it takes.
 *
 * `on` takes the names of {@link ClientEvents} and those of services, which have a dot: each listener of `game.found` is
 * given what the service tells (a {@link Push}), and the newest one what it asks (an {@link InboundRequest}): what that
 * listener returns, or what its promise gives, is the answer.
 *
 * @extends {Emitter<import("./options.js").ClientEvents>}
 */
export class Client extends Emitter {
  #session = new Session();
  #keeper;
  #inbound;
  #peers;
  #orphans = new Orphans();
  #options;
  #clock;
  /** @type {Token} */
  #token;
  /** The next `peers` message names all there are. */
  #wholePeers = false;
  /** @type {import("./inbound.js").Handler | undefined} */
  #peerHandler;
  /** @type {Map<string, boolean>} Whether a name is declared idempotent, as `describe` said. */
  #idempotent = new Map();

  /**
   * @param {string} url  of the gateway's `/connect`: `ws:`, `wss:`, `http:`, `https:`, or relative to the page
   * @param {import("./options.js").ClientOptions} [options]
   */
  constructor(url, options = {}) {
    super();
    this.#token = options.token;
    this.#options = {
      timeout: options.timeout ?? 15_000,
      connectTimeout: options.connectTimeout ?? 30_000,
      maxAnswerBytes: options.maxAnswerBytes ?? 16 * 1024 * 1024,
      maxUnreadBytes: options.maxUnreadBytes ?? 4 * 1024 * 1024,
    };
    const headers = options.origin ? { origin: options.origin } : undefined;
    const clock = (this.#clock = options.clock ?? systemClock);
    this.#keeper = new Keeper({
      url,
      session: this.#session,
      clock,
      random: options.random ?? Math.random,
      limits: {
        maxInFlight: options.maxInFlight ?? 1024,
        maxControls: MAX_CONTROLS,
        maxBuffered: options.maxBufferedBytes ?? 8 * 1024 * 1024,
      },
      options: {
        reconnect: options.reconnect ?? true,
        resume: options.resume ?? true,
        WebSocket: options.WebSocket,
        socketOptions: options.socketOptions || headers ? { ...headers, ...options.socketOptions } : undefined,
      },
      hooks: {
        control: (link, message) => this.#control(link, message),
        frame: (link, frame) => this.#frame(frame, link),
        state: (change) => {
          if (change.state === "closed") this.#orphans.failAll(change.code);
          this.emit("state", change);
        },
        orphans: (exchanges) => {
          this.#orphans.take(exchanges);
          if (this.state === "closed") this.#orphans.failAll();
          else this.#repeat();
        },
        token: () => (typeof this.#token === "function" ? this.#token() : this.#token),
        tokenRefused: () => {
          if (typeof this.#token === "string") this.#token = undefined;
        },
        resume: () => this.#resumeFields(),
        tap: (tap) => this.emit("frame", tap),
      },
    });
    this.#inbound = new Inbound({
      send: (handle, flags, number, payload) => this.#link().sendFrame(handle, flags, number, payload),
      max: options.maxInbound ?? 256,
      clock,
    });
    this.#peers = new Peers({
      request: (peer, payload, options) => this.#call(peer.gone ? undefined : peer.handle, peer.label, payload, options),
      stream: (peer, payload, options) => this.#stream(peer.gone ? undefined : peer.handle, peer.label, payload, options),
      send: (peer, payload) => this.#oneWay(peer.gone ? undefined : peer.handle, peer.label, payload),
    });
  }

  // What is known -----------------------------------------------------------------------------------------------

  /** Where the connection stands. */
  get state() {
    return this.#keeper.state;
  }

  /** @returns {ReadonlyMap<string, string>} What this client may call: name → handle. */
  get services() {
    return this.#session.services;
  }

  /** @returns {ReadonlyMap<string, string>} What services may send to this client: name → handle. */
  get events() {
    return this.#session.events;
  }

  /** @returns {ReadonlyMap<string, import("./peers.js").Peer>} Whom this client may talk to, by label. */
  get peers() {
    return this.#peers.byLabel;
  }

  /** The session's facts: ids, revision, limits. */
  get session() {
    return this.#session.describe(false);
  }

  /**
   * @param {string} handle
   * @returns {{ kind: "service" | "event" | "peer", name: string } | undefined}  what a handle of this session means
   */
  nameOf(handle) {
    const service = this.#session.serviceByHandle.get(handle);
    if (service !== undefined) return { kind: "service", name: service };
    const event = this.#session.eventByHandle.get(handle);
    if (event !== undefined) return { kind: "event", name: event };
    const peer = this.#peers.byHandle.get(handle);
    return peer && { kind: "peer", name: peer.label };
  }

  // The connection ----------------------------------------------------------------------------------------------

  /**
   * Connects, and keeps connected from then on. Tries until the gateway has said what this client may call.
   *
   * @param {{ signal?: AbortSignal }} [options]
   * @returns {Promise<this>}
   * @throws {ClosedError} the gateway does not want this client
   * @throws {TimeoutError} no gateway within `connectTimeout`; the client is closed then
   */
  open({ signal } = {}) {
    if (this.state === "open") return Promise.resolve(this);
    const open = () => this.#keeper.open();
    return opened(this, { open, signal, clock: this.#clock, timeoutMs: this.#options.connectTimeout });
  }

  /**
   * Ends the connection for good; `open` may begin another.
   *
   * @param {number} [code]  1000, or 3000 to 4999
   * @param {string} [reason]
   */
  close(code = 1000, reason = "") {
    this.#session.resume = undefined;
    const current = this.#keeper.links;
    this.#keeper.close(code, reason);
    for (const link of current) {
      link.exchanges.endAll(code);
      link.controls.endAll(code);
    }
    this.#inbound.endAll();
    this.#peersChanged(this.#peers.clear());
  }

  /** Drops the connection as a broken network would: the client comes back by itself. For tools and tests. */
  interrupt() {
    this.#keeper.interrupt();
  }

  /**
   * Logs in, or refreshes, on the open connection. The token is remembered for the next one.
   *
   * @param {string} token  a JWT
   * @returns {Promise<{ [field: string]: any }>}  the gateway's `ok`, which says the expiry
   * @throws {import("./errors.js").ControlError} the token was refused
   */
  async authenticate(token) {
    const ok = await this.control({ type: "authenticate", token });
    this.setToken(token);
    return ok;
  }

  /**
   * Remembers a token for the next connection, without a word to the gateway.
   *
   * @param {Token} token
   */
  setToken(token) {
    this.#token = token;
  }

  /** @returns {Promise<number>}  milliseconds to the gateway and back */
  async ping() {
    const startedAt = this.#clock.now();
    await this.control({ type: "ping" });
    return this.#clock.now() - startedAt;
  }

  /**
   * @param {string} name  of an endpoint or event
   * @returns {Promise<{ [field: string]: any }>}  its schema, where it publishes one. An endpoint that says it is idempotent is called
   *   again from then on when a connection breaks, unless the call says otherwise
   */
  async describe(name) {
    const about = await this.control({ type: "describe", name });
    if (this.#idempotent.size < MAX_DESCRIBED) this.#idempotent.set(name, about.idempotent === true);
    return about;
  }

  /**
   * Asks to withdraw from a peer.
   *
   * @param {string} label
   */
  part(label) {
    return this.control({ type: "part", label });
  }

  /**
   * Any control message; the promise gives its `ok`.
   *
   * @param {{ type: string, [field: string]: any }} message
   * @param {{ timeout?: number }} [options]
   * @returns {Promise<{ [field: string]: any }>}
   */
  async control(message, { timeout = CONTROL_MS } = {}) {
    return this.#link().controls.ask(message, timeout);
  }

  // Exchanges ---------------------------------------------------------------------------------------------------

  /**
   * Calls an endpoint.
   *
   * @overload
   * @param {string} name
   * @param {import("./payload.js").Payload} payload
   * @param {import("./options.js").CallOptions & { raw: true }} options
   * @returns {Promise<Uint8Array>}
   */
  /**
   * @overload
   * @param {string} name
   * @param {import("./payload.js").Payload} [payload]
   * @param {import("./options.js").CallOptions} [options]
   * @returns {Promise<import("./payload.js").Answer>}
   */
  /**
   * @param {string} name  `<service>.<endpoint>`
   * @param {import("./payload.js").Payload} [payload]
   * @param {import("./options.js").CallOptions} [options]
   * @returns {Promise<any>}
   * @throws {import("./errors.js").CallError} it answered with an error
   * @throws {UnavailableError} this client may not call it
   * @throws {TimeoutError | CancelledError | ClosedError}
   */
  call(name, payload, options) {
    return this.#call(this.#session.services.get(name), name, payload, options);
  }

  /**
   * Calls an endpoint that answers part by part.
   *
   * @param {string} name
   * @param {import("./payload.js").Payload} [payload]
   * @param {import("./options.js").CallOptions} [options]
   * @returns {AnswerStream}
   * @throws {UnavailableError | ClosedError}
   */
  stream(name, payload, options) {
    return this.#stream(this.#session.services.get(name), name, payload, options);
  }

  /**
   * Sends something that wants no answer: none comes, not even an error.
   *
   * @param {string} name
   * @param {import("./payload.js").Payload} [payload]
   */
  oneWay(name, payload) {
    this.#oneWay(this.#session.services.get(name), name, payload);
  }

  /**
   * Answers the requests of peers that have no `onRequest` of their own.
   *
   * @param {import("./inbound.js").Handler | undefined} handler  none: this client answers 501
   */
  answerPeers(handler) {
    this.#peerHandler = handler;
  }

  /**
   * Waits until this client may call a name.
   *
   * @param {string} name
   * @param {{ signal?: AbortSignal }} [options]
   * @returns {Promise<void>}
   */
  async available(name, { signal } = {}) {
    while (!this.services.has(name)) {
      const stop = new AbortController();
      const either = signal ? AbortSignal.any([signal, stop.signal]) : stop.signal;
      try {
        await Promise.race([this.once("discovery", { signal: either }), this.once("update", { signal: either })]);
      } finally {
        stop.abort();
      }
    }
  }

  /** @returns {import("./link.js").Link} */
  #link() {
    const link = this.#keeper.current;
    if (!link) throw new ClosedError("not connected");
    return link;
  }

  /**
   * @param {string | undefined} handle
   * @param {string} target
   * @param {import("./payload.js").Payload} payload
   * @param {import("./options.js").CallOptions} [options]
   */
  #request(handle, target, payload, options = {}) {
    const link = this.#link();
    if (handle === undefined) throw new UnavailableError(target);
    if (options.signal?.aborted) throw new CancelledError(target, { reason: options.signal.reason });
    const timeoutMs = options.timeout ?? this.#options.timeout;
    return {
      link,
      request: {
        handle,
        target,
        number: this.#session.nextNumber(),
        payload: toBytes(payload),
        timeoutMs: Number.isFinite(timeoutMs) ? timeoutMs : 0,
        signal: options.signal,
        // A peer's handle is never a service's: only what has a backend is called again.
        again: this.#session.serviceByHandle.has(handle) && (options.idempotent ?? this.#idempotent.get(target) ?? false),
      },
    };
  }

  /**
   * @param {string | undefined} handle
   * @param {string} target
   * @param {import("./payload.js").Payload} payload
   * @param {import("./options.js").CallOptions} [options]
   * @returns {Promise<any>}
   */
  #call(handle, target, payload, options) {
    return new Promise((resolve, reject) => {
      const { link, request } = this.#request(handle, target, payload, options);
      const give = options?.raw ? (/** @type {import("./payload.js").Answer} */ answer) => resolve(answer.bytes) : resolve;
      link.exchanges.start(request, collector(this.#options.maxAnswerBytes, give, reject));
    });
  }

  /**
   * @param {string | undefined} handle
   * @param {string} target
   * @param {import("./payload.js").Payload} payload
   * @param {import("./options.js").CallOptions} [options]
   */
  #stream(handle, target, payload, options) {
    const { link, request } = this.#request(handle, target, payload, options);
    return new AnswerStream(this.#options.maxUnreadBytes, (sink) =>
      link.exchanges.start({ ...request, perPart: true }, sink),
    );
  }

  /**
   * @param {string | undefined} handle
   * @param {string} target
   * @param {import("./payload.js").Payload} payload
   */
  #oneWay(handle, target, payload) {
    const { link, request } = this.#request(handle, target, payload);
    link.sendFrame(request.handle, Flag.ONE_WAY, request.number, request.payload);
  }

  // What arrives ------------------------------------------------------------------------------------------------

  /**
   * @param {import("./link.js").Link} link
   * @param {Record<string, any>} message
   */
  #control(link, message) {
    switch (message.type) {
      case "ok":
        link.controls.receive(message);
        break;
      case "error":
        this.#refused(link, message);
        break;
      case "service_discovery":
        this.#session.discover(message);
        this.#inbound.endAll();
        this.#begin(link, false);
        this.#repeat();
        break;
      case "resumed":
        this.#session.continue(message);
        this.#wholePeers = true;
        this.#begin(link, true);
        this.#inbound.repeat();
        this.#repeat();
        break;
      case "service_update": {
        const update = link === this.#keeper.current && this.#session.update(message);
        if (update) this.emit("update", update);
        break;
      }
      case "peers":
        if (link !== this.#keeper.current) break;
        this.#peersChanged(this.#peers.apply(message, this.#wholePeers));
        this.#wholePeers = false;
        break;
      case "resume":
        if (link !== this.#keeper.current) break;
        this.#session.renew(message);
        this.#keeper.renewed();
        break;
      case "token":
        this.#token = message.token;
        this.emit("token", { token: message.token, expiresInS: message.expires_in_s });
        break;
      case "token_expiring":
        this.emit("token_expiring", { expiresInS: message.expires_in_s });
        this.#refreshToken();
        break;
      case "going_away":
        this.emit("going_away", { afterMs: message.reconnect_after_ms, reason: message.reason });
        this.#keeper.goingAway(link, message.reconnect_after_ms);
        break;
      case "gap":
        if (this.#keeper.isOver(link)) break;
        this.#session.gap(message);
        this.emit("gap", message);
        break;
      case "closing":
        this.emit("closing", /** @type {any} */ (message));
        break;
    }
    this.emit("control", /** @type {any} */ (message));
  }

  /**
   * @param {import("./link.js").Link} link
   * @param {boolean} resumed
   */
  #begin(link, resumed) {
    this.#keeper.renewed();
    this.#keeper.established(link);
    link.sessionId = this.#session.sessionId;
    if (!resumed) this.#peersChanged(this.#peers.clear());
    this.emit("discovery", this.#session.describe(resumed));
  }

  /**
   * @param {import("./link.js").Link} link
   * @param {Record<string, any>} message
   */
  #refused(link, message) {
    if (message.id !== undefined && link.controls.receive(message)) return;
    const number = position(message.number);
    if (typeof message.handle === "string" && number !== undefined) {
      link.exchanges.refuse(message.handle.toLowerCase(), number, Number(message.status) || 400);
    }
    this.emit("refused", message);
  }

  /** @param {import("./peers.js").PeersChange} change */
  #peersChanged(change) {
    if (change.added.length === 0 && change.removed.length === 0) return;
    for (const { handle } of change.removed) {
      for (const link of this.#keeper.links) link.exchanges.endWith(handle);
      this.#inbound.endWith(handle);
    }
    this.emit("peers", change);
  }

  /** Calls again, over the current link, what a link that is gone left unanswered. */
  #repeat() {
    const link = this.#keeper.current;
    if (link) this.#orphans.give(link.exchanges, this.#session.services);
  }

  async #refreshToken() {
    if (typeof this.#token !== "function") return;
    try {
      const token = await this.#token();
      // Not `authenticate`: that would put the one token in the place of who gets them.
      if (token) await this.control({ type: "authenticate", token });
    } catch (error) {
      console.error("bannou: the token could not be refreshed", error);
    }
  }

  /**
   * @param {import("./header.js").Frame} frame
   * @param {import("./link.js").Link} link
   */
  #frame(frame, link) {
    const { handle, flags, number, payload } = frame;
    if (!(flags & Flag.INBOUND)) {
      link.exchanges.receive(frame);
      return;
    }
    // A drained gateway may still speak to a session that could not be taken along: its handles mean nothing any more, and its positions
    // would hide what comes out of the new session's log. That it is lost was told as a gap.
    if (link.sessionId !== this.#session.sessionId) return;
    if (flags & Flag.ERROR) return this.#inbound.over(frame);
    const logged = (flags & Flag.LOGGED) !== 0;
    if (logged && !this.#session.admit(number)) return;
    const peer = this.#peers.byHandle.get(handle);
    const event = /** @type {`${string}.${string}` | undefined} */ (this.#session.eventByHandle.get(handle));
    if (!(flags & Flag.ONE_WAY)) {
      const handler = peer ? (peer.onRequest ?? this.#peerHandler) : event === undefined ? undefined : this.newest(event);
      this.#inbound.answer(frame, { peer, event }, /** @type {any} */ (handler));
    } else if (peer) {
      const message = new PeerMessage(peer, payload);
      peer.onMessage?.(message);
      this.emit("message", message);
    } else {
      const push = new Push(payload, { event, handle, number, logged });
      if (event !== undefined) this.emit(event, push);
      this.emit("push", push);
    }
  }

  #resumeFields() {
    const { resume, cursor, groupCursor, set } = this.#session;
    return {
      token: resume?.token,
      cursor: cursor?.toString(),
      group_cursor: groupCursor?.toString(),
      open: this.#inbound.openNumbers(),
      set,
    };
  }
}

/**
 * A client that is connected.
 *
 * @param {string} url
 * @param {import("./options.js").ClientOptions & { signal?: AbortSignal }} [options]
 * @returns {Promise<Client>}
 */
export function connect(url, options = {}) {
  return new Client(url, options).open({ signal: options.signal });
}
