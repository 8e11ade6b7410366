/**
 * The exchanges that this client started, from the request to the one frame that ends each.
 *
 * @module
 */

import { CallError, CancelledError, LimitError, TimeoutError } from "./errors.js";
import { Flag, decodeError, encodeError } from "./header.js";
import { inDoubt } from "./orphans.js";
import { Answer, concat } from "./payload.js";

/**
 * @typedef {object} Clock
 * @property {() => number} now  milliseconds, only differences count
 * @property {(run: () => void, ms: number) => any} setTimeout
 * @property {(timer: any) => void} clearTimeout
 */

/**
 * @typedef {object} Sink  who waits for the answer; exactly one of `end` and `fail` is called, once
 * @property {(bytes: Uint8Array, exchange: Exchange) => void} part
 * @property {(bytes: Uint8Array, exchange: Exchange) => void} end
 * @property {(error: Error) => void} fail
 */

/**
 * @typedef {object} Request
 * @property {string} handle
 * @property {bigint} number
 * @property {string} target  for messages to people
 * @property {Uint8Array} payload
 * @property {number} timeoutMs  0 for none
 * @property {boolean} [perPart]  the timeout runs from part to part
 * @property {AbortSignal} [signal]
 * @property {boolean} [again]  it may be made again when its connection goes away
 */

/** How long a cancel waits to be confirmed: peers may not honour one. */
const CONFIRM_MS = 5_000;

/** One exchange. */
export class Exchange {
  /** @type {"open" | "cancelling"} */
  state = "open";
  partCount = 0;
  /** The sink has been told how it ended. */
  #settled = false;
  /** @type {any} */
  #timer;
  /** @type {unknown} */
  #reason;
  /** @type {() => void} */
  #unlisten = () => {};

  /**
   * @param {Request} request
   * @param {Sink} sink
   * @param {{ clock: Clock, send: (flags: number, payload: Uint8Array) => void, forget: () => void }} by  its connection
   */
  constructor(request, sink, by) {
    this.request = request;
    this.sink = sink;
    this.by = by;
    this.startedAt = by.clock.now();
    this.#arm();
    const { signal } = request;
    if (signal) {
      const abort = () => this.cancel(signal.reason);
      signal.addEventListener("abort", abort, { once: true });
      this.#unlisten = () => signal.removeEventListener("abort", abort);
    }
  }

  /** Its connection may go away without it: nothing of the answer was seen, and doing it twice does no harm. */
  get mayBeMadeAgain() {
    return this.request.again === true && this.state === "open" && this.partCount === 0;
  }

  /** Milliseconds since the request. */
  get ageMs() {
    return this.by.clock.now() - this.startedAt;
  }

  #arm() {
    const { timeoutMs, target } = this.request;
    if (timeoutMs <= 0) return;
    this.by.clock.clearTimeout(this.#timer);
    this.#timer = this.by.clock.setTimeout(() => {
      this.#settle(() => this.sink.fail(new TimeoutError(target, timeoutMs)));
      this.cancel("timeout");
    }, timeoutMs);
  }

  /** @param {() => void} tell */
  #settle(tell) {
    if (this.#settled) return;
    this.#settled = true;
    this.#unlisten();
    tell();
  }

  /**
   * Asks the other side to stop. The exchange ends when it says so, or with the answer that had left before.
   *
   * @param {unknown} [reason]
   */
  cancel(reason) {
    if (this.state === "cancelling") return;
    this.state = "cancelling";
    this.#reason = reason;
    this.by.clock.clearTimeout(this.#timer);
    this.#timer = this.by.clock.setTimeout(() => this.cancelled(), CONFIRM_MS);
    try {
      this.by.send(Flag.ERROR, encodeError(499));
    } catch {
      // The connection is going: its end fails this exchange.
    }
  }

  /**
   * A frame of the answer.
   *
   * @param {import("./header.js").Frame} frame
   */
  receive(frame) {
    if (frame.flags & Flag.MORE) {
      this.partCount++;
      if (this.state === "cancelling") return;
      if (this.request.perPart) this.#arm();
      this.sink.part(frame.payload, this);
      return;
    }
    if (frame.flags & Flag.ERROR) {
      const { status, body } = decodeError(frame.payload);
      const { target } = this.request;
      if (this.state === "cancelling" && status === 499) {
        this.fail(new CancelledError(target, { confirmed: true, reason: this.#reason }));
      } else {
        this.fail(new CallError(target, status, body.slice()));
      }
      return;
    }
    this.partCount++;
    this.#over();
    if (this.state === "cancelling") {
      const answer = new Answer(frame.payload, this.#about());
      this.#settle(() => this.sink.fail(new CancelledError(this.request.target, { answer, reason: this.#reason })));
    } else {
      this.#settle(() => this.sink.end(frame.payload, this));
    }
  }

  /** @param {Error} error  that ends it */
  fail(error) {
    this.#over();
    this.#settle(() => this.sink.fail(error));
  }

  /** Ends it as cancelled, without the other side's word. */
  cancelled() {
    this.fail(new CancelledError(this.request.target, { confirmed: false, reason: this.#reason }));
  }

  #over() {
    this.by.clock.clearTimeout(this.#timer);
    this.by.forget();
  }

  #about() {
    return { number: this.request.number, latencyMs: this.ageMs, parts: this.partCount };
  }

  /**
   * @param {Uint8Array} bytes
   * @returns {Answer}
   */
  answer(bytes) {
    return new Answer(bytes, this.#about());
  }
}

/** The exchanges of one connection by their identity: handle and number together. */
export class Exchanges {
  /** @type {Map<string, Exchange>} */
  #open = new Map();

  /**
   * @param {object} by
   * @param {(handle: string, flags: number, number: bigint, payload: Uint8Array) => void} by.send  throws when it cannot
   * @param {Clock} by.clock
   * @param {number} by.max  exchanges at once
   */
  constructor({ send, clock, max }) {
    this.send = send;
    this.clock = clock;
    this.max = max;
  }

  get size() {
    return this.#open.size;
  }

  /**
   * Sends a request and keeps its exchange until it ends.
   *
   * @param {Request} request
   * @param {Sink} sink
   * @returns {Exchange}
   * @throws {LimitError | ClosedError} when it was not sent
   */
  start(request, sink) {
    if (this.#open.size >= this.max) throw new LimitError(`${this.max} exchanges are open already`);
    this.send(request.handle, 0, request.number, request.payload);
    const exchange = new Exchange(request, sink, this.#by(request));
    this.#open.set(identity(request.handle, request.number), exchange);
    return exchange;
  }

  /**
   * Makes a request again whose connection went away.
   *
   * @param {Exchange} exchange  which no other connection has
   * @param {string} handle  of its target here
   */
  adopt(exchange, handle) {
    const request = (exchange.request = { ...exchange.request, handle });
    exchange.by = this.#by(request);
    this.#open.set(identity(handle, request.number), exchange);
    try {
      this.send(handle, 0, request.number, request.payload);
    } catch {
      exchange.fail(inDoubt(exchange));
    }
  }

  /** @param {Request} request */
  #by({ handle, number }) {
    return {
      clock: this.clock,
      send: (/** @type {number} */ flags, /** @type {Uint8Array} */ payload) => this.send(handle, flags, number, payload),
      forget: () => this.#open.delete(identity(handle, number)),
    };
  }

  /**
   * @param {import("./header.js").Frame} frame  without `INBOUND`
   * @returns {boolean}  whether it belongs to an open exchange
   */
  receive(frame) {
    const exchange = this.#open.get(identity(frame.handle, frame.number));
    exchange?.receive(frame);
    return exchange !== undefined;
  }

  /**
   * Ends one: the gateway refused its frame by a control message.
   *
   * @param {string} handle
   * @param {bigint} number
   * @param {number} status
   * @returns {boolean}
   */
  refuse(handle, number, status) {
    const exchange = this.#open.get(identity(handle, number));
    exchange?.fail(new CallError(exchange.request.target, status));
    return exchange !== undefined;
  }

  /**
   * Ends every exchange with a peer who is gone.
   *
   * @param {string} handle
   */
  endWith(handle) {
    for (const exchange of [...this.#open.values()]) {
      if (exchange.request.handle === handle) exchange.fail(new CallError(exchange.request.target, 404));
    }
  }

  /**
   * The connection is gone: what is open is in doubt.
   *
   * @param {number} [code]  of the close
   * @param {(exchanges: Exchange[]) => void} [orphans]  takes those that may be made again
   */
  endAll(code, orphans) {
    const all = [...this.#open.values()];
    this.#open.clear();
    const again = all.filter((exchange) => orphans && exchange.mayBeMadeAgain);
    for (const exchange of all) if (!again.includes(exchange)) exchange.fail(inDoubt(exchange, code));
    if (again.length > 0) orphans?.(again);
  }
}

/**
 * @param {string} handle
 * @param {bigint} number
 */
function identity(handle, number) {
  return `${handle}/${number}`;
}

/**
 * A sink that collects a whole answer for a promise.
 *
 * @param {number} maxBytes
 * @param {(answer: Answer) => void} resolve
 * @param {(error: Error) => void} reject
 * @returns {Sink}
 */
export function collector(maxBytes, resolve, reject) {
  /** @type {Uint8Array[]} */
  const parts = [];
  let size = 0;
  let failed = false;
  return {
    part(bytes, exchange) {
      if (failed) return;
      parts.push(bytes);
      size += bytes.byteLength;
      if (size <= maxBytes) return;
      failed = true;
      parts.length = 0;
      reject(new LimitError(`the answer of ${exchange.request.target} is larger than ${maxBytes} bytes`));
      exchange.cancel("too large");
    },
    end(bytes, exchange) {
      parts.push(bytes);
      resolve(exchange.answer(concat(parts)));
    },
    fail: reject,
  };
}
