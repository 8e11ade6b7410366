/**
 * The exchanges that others started: requests of peers and of services, and their answers.
 *
 * @module
 */

import { AnswerError, CancelledError } from "./errors.js";
import { Flag, decodeError, encodeError } from "./header.js";
import { Body, concat, toBytes } from "./payload.js";

/** The newest answers to services that are kept, to be repeated after a resume; no more numbers may be listed in one. */
const KEPT_ANSWERS = 32;
/** No request has a deadline beyond this. What its own is, a client is not told, but for an end when it has passed. */
const LONGEST_MS = 60 * 60_000;

/**
 * What a handler gives back. An async iterable is sent part by part.
 *
 * @typedef {import("./payload.js").Payload | AsyncIterable<import("./payload.js").Payload>} Reply
 */

/**
 * @callback Handler
 * @param {InboundRequest} request
 * @returns {Reply | Promise<Reply>}
 */

/** A request of a peer, or of a service that speaks first. */
export class InboundRequest extends Body {
  /**
   * @param {object} about
   * @param {string} about.handle
   * @param {bigint} about.number
   * @param {boolean} about.logged
   * @param {Uint8Array} about.payload
   * @param {AbortSignal} [about.signal]
   * @param {import("./peers.js").Peer} [about.peer]
   * @param {string} [about.event]
   */
  constructor({ handle, number, logged, payload, signal = new AbortController().signal, peer, event }) {
    super(payload);
    this.handle = handle;
    this.number = number;
    /** From a service, by way of a log. */
    this.logged = logged;
    /** Aborted when the asker cancels, gives up or is gone: an answer would reach nobody. */
    this.signal = signal;
    /** Who asks, when it is a peer. */
    this.peer = peer;
    /** What asks, when it is a service: the event's name. */
    this.event = event;
  }
}

/** What a service tells: it wants no answer, and its signal is never aborted. */
export class Push extends InboundRequest {
  /**
   * @param {Uint8Array} payload
   * @param {{ event: string | undefined, handle: string, number: bigint, logged: boolean }} about
   */
  constructor(payload, about) {
    super({ ...about, payload });
  }
}

/** Inbound exchanges by their identity: handle, `LOGGED` or not, and number. */
export class Inbound {
  /** @type {Map<string, { handle: string, number: bigint, logged: boolean, abort: AbortController }>} */
  #open = new Map();
  /** @type {Map<string, { handle: string, flags: number, number: bigint, payload: Uint8Array, at: number }>} */
  #kept = new Map();

  /**
   * @param {object} by
   * @param {(handle: string, flags: number, number: bigint, payload: Uint8Array) => void} by.send  throws when it cannot
   * @param {number} by.max  requests answered at once
   * @param {import("./exchange.js").Clock} by.clock
   */
  constructor({ send, max, clock }) {
    this.send = send;
    this.max = max;
    this.clock = clock;
  }

  get size() {
    return this.#open.size;
  }

  /**
   * Answers a request by a handler, in its own time.
   *
   * @param {import("./header.js").Frame} frame
   * @param {{ peer?: import("./peers.js").Peer, event?: string }} from
   * @param {Handler | undefined} handler
   * @returns {Promise<void>}  when the answer has left; never rejects
   */
  async answer(frame, from, handler) {
    const { handle, number } = frame;
    const logged = (frame.flags & Flag.LOGGED) !== 0;
    const key = identity(handle, logged, number);
    if (this.#open.has(key)) return; // A repeat of what is being answered.
    if (!handler) return this.#sendError(frame, 501, "this client answers no such request");
    if (this.#open.size >= this.max) return this.#sendError(frame, 503, "this client answers too many requests already");

    const abort = new AbortController();
    this.#open.set(key, { handle, number, logged, abort });
    const request = new InboundRequest({ handle, number, logged, payload: frame.payload, signal: abort.signal, ...from });
    try {
      const reply = await handler(request);
      const last = isIterable(reply) ? await this.#sendParts(frame, reply, abort.signal) : toBytes(reply);
      if (!abort.signal.aborted) this.#sendAnswer(frame, 0, last);
    } catch (error) {
      if (abort.signal.aborted) return;
      if (error instanceof AnswerError) this.#sendAnswer(frame, Flag.ERROR, encodeError(error.status, toBytes(error.body)));
      else {
        console.error("an answering handler failed", error);
        this.#sendError(frame, 500, "the handler failed");
      }
    } finally {
      this.#open.delete(key);
    }
  }

  /**
   * @param {import("./header.js").Frame} frame
   * @param {AsyncIterable<import("./payload.js").Payload>} parts
   * @param {AbortSignal} signal
   * @returns {Promise<Uint8Array>}  what the frame that ends the answer carries
   */
  async #sendParts(frame, parts, signal) {
    /** @type {Uint8Array[]} */
    const collected = [];
    for await (const part of parts) {
      if (signal.aborted) break;
      // A service's request takes one frame as its answer; only peers take parts.
      if (frame.flags & Flag.LOGGED) collected.push(toBytes(part));
      else this.send(frame.handle, Flag.INBOUND | Flag.MORE, frame.number, toBytes(part));
    }
    return concat(collected);
  }

  /**
   * @param {import("./header.js").Frame} frame
   * @param {number} status
   * @param {string} title
   */
  #sendError(frame, status, title) {
    this.#sendAnswer(frame, Flag.ERROR, encodeError(status, toBytes({ type: "about:blank", status, title })));
  }

  /**
   * @param {import("./header.js").Frame} frame
   * @param {number} extra
   * @param {Uint8Array} payload
   */
  #sendAnswer(frame, extra, payload) {
    const logged = frame.flags & Flag.LOGGED;
    const flags = Flag.INBOUND | logged | extra;
    if (logged) {
      const { handle, number } = frame;
      this.#kept.set(identity(handle, true, number), { handle, flags, number, payload, at: this.clock.now() });
      this.#forgetOld();
    }
    try {
      this.send(frame.handle, flags, frame.number, payload);
    } catch {
      // The asker learns it from the connection's end, or gets the kept answer after a resume.
    }
  }

  #forgetOld() {
    const oldest = this.clock.now() - LONGEST_MS;
    for (const [key, { at }] of this.#kept) {
      if (this.#kept.size > KEPT_ANSWERS || at < oldest) this.#kept.delete(key);
    }
  }

  /**
   * @param {import("./header.js").Frame} frame  with `INBOUND` and `ERROR`: that exchange is over
   */
  over(frame) {
    const key = identity(frame.handle, (frame.flags & Flag.LOGGED) !== 0, frame.number);
    this.#kept.delete(key);
    const { status } = decodeError(frame.payload);
    this.#open.get(key)?.abort.abort(new CancelledError("a request", { confirmed: true, status }));
  }

  /**
   * Ends the requests of a peer who is gone.
   *
   * @param {string} handle
   */
  endWith(handle) {
    for (const open of this.#open.values()) {
      if (open.handle === handle) open.abort.abort(new CancelledError("a request", { reason: "the peer is gone" }));
    }
  }

  /** Ends everything: the session it belonged to is over. */
  endAll() {
    for (const open of this.#open.values()) open.abort.abort(new CancelledError("a request", { reason: "the session is over" }));
    this.#kept.clear();
  }

  /** @returns {string[]}  what a resume lists: the newest 32 numbers of services that are being answered, or were */
  openNumbers() {
    this.#forgetOld();
    const numbers = [...this.#kept.values(), ...[...this.#open.values()].filter((open) => open.logged)].map(({ number }) => number);
    return [...new Set(numbers)].sort((a, b) => (a < b ? -1 : 1)).slice(-KEPT_ANSWERS).map(String);
  }

  /** Repeats the kept answers, after a resume. */
  repeat() {
    for (const { handle, flags, number, payload } of this.#kept.values()) this.send(handle, flags, number, payload);
  }
}

/**
 * @param {string} handle
 * @param {boolean} logged
 * @param {bigint} number
 */
function identity(handle, logged, number) {
  return `${handle}/${logged ? "logged" : "peer"}/${number}`;
}

/**
 * @param {any} reply
 * @returns {reply is AsyncIterable<import("./payload.js").Payload>}
 */
function isIterable(reply) {
  return typeof reply === "object" && reply !== null && Symbol.asyncIterator in reply;
}
