/**
 * The control messages: JSON text frames with a `type`, and the `id`s that pair a message with its `ok` or `error`.
 *
 * @module
 */

import { ClosedError, ControlError, LimitError, ProtocolError, TimeoutError } from "./errors.js";

/** The largest control message that a gateway takes, in bytes. */
export const MAX_CONTROL_BYTES = 16 * 1024;

/**
 * @param {string} text
 * @returns {{ type: string, [field: string]: any }}
 * @throws {ProtocolError} when it is not an object with a `type`
 */
export function parseControl(text) {
  let value;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new ProtocolError("a text frame is not JSON");
  }
  if (value === null || typeof value !== "object" || typeof value.type !== "string") {
    throw new ProtocolError("a control message has no type");
  }
  return value;
}

/** The control messages of one connection that wait for their answer. */
export class Controls {
  /** @type {Map<number, { type: string, startedAt: number, timer: any, resolve: (ok: any) => void, reject: (error: Error) => void }>} */
  #open = new Map();
  #last = 0;

  /**
   * @param {object} by
   * @param {(text: string) => void} by.send  throws when it cannot
   * @param {import("./exchange.js").Clock} by.clock
   * @param {number} by.max  messages at once
   */
  constructor({ send, clock, max }) {
    this.send = send;
    this.clock = clock;
    this.max = max;
  }

  /**
   * @param {{ type: string, [field: string]: any }} message  without `id`
   * @param {number} timeoutMs
   * @returns {Promise<{ type: "ok", [field: string]: any }>}
   */
  ask(message, timeoutMs) {
    return new Promise((resolve, reject) => {
      if (this.#open.size >= this.max) throw new LimitError(`${this.max} control messages wait already`);
      const id = ++this.#last;
      this.send(encodeControl({ ...message, id }));
      const timer = this.clock.setTimeout(() => {
        this.#open.delete(id);
        reject(new TimeoutError(message.type, timeoutMs));
      }, timeoutMs);
      this.#open.set(id, { type: message.type, startedAt: this.clock.now(), timer, resolve, reject });
    });
  }

  /**
   * @param {Record<string, any>} message  `ok` or `error`
   * @returns {boolean}  whether somebody waited for it
   */
  receive(message) {
    const waiting = this.#open.get(message.id);
    if (!waiting) return false;
    this.#open.delete(message.id);
    this.clock.clearTimeout(waiting.timer);
    if (message.type === "ok") waiting.resolve(message);
    else waiting.reject(new ControlError(waiting.type, message));
    return true;
  }

  /** @param {number} [code]  of the close */
  endAll(code) {
    for (const waiting of this.#open.values()) {
      this.clock.clearTimeout(waiting.timer);
      waiting.reject(new ClosedError(`the connection ended before ${waiting.type} was answered`, { code, inDoubt: true }));
    }
    this.#open.clear();
  }
}

/**
 * @param {{ type: string, [field: string]: any }} message
 * @returns {string}
 * @throws {LimitError} when the gateway would close the connection over its size
 */
export function encodeControl(message) {
  const text = JSON.stringify(message);
  // Three bytes of UTF-8 per UTF-16 unit at most, so most messages need no exact count.
  if (text.length * 3 > MAX_CONTROL_BYTES && new TextEncoder().encode(text).byteLength > MAX_CONTROL_BYTES) {
    throw new LimitError(`a control message may have ${MAX_CONTROL_BYTES} bytes`);
  }
  return text;
}
