/**
 * A streamed answer as an async iterator over its parts.
 *
 * @module
 */

import { CancelledError, LimitError } from "./errors.js";

/**
 * Iterate it once. Leaving the loop early cancels the exchange and waits until the other side has confirmed.
 *
 * @implements {AsyncIterableIterator<import("./payload.js").Answer>}
 */
export class AnswerStream {
  /** @type {import("./payload.js").Answer[]} */
  #queue = [];
  #queuedBytes = 0;
  #ended = false;
  /** @type {Error | undefined} */
  #error;
  /** @type {(() => void)[]} */
  #waiting = [];
  /** @type {import("./exchange.js").Exchange | undefined} */
  #exchange;

  /**
   * @param {number} maxBytes  unread parts at once; a reader slower than that loses the stream, not its memory
   * @param {(sink: import("./exchange.js").Sink) => import("./exchange.js").Exchange} start
   */
  constructor(maxBytes, start) {
    /** @param {Uint8Array} bytes @param {import("./exchange.js").Exchange} exchange */
    const push = (bytes, exchange) => {
      this.#queue.push(exchange.answer(bytes));
      this.#queuedBytes += bytes.byteLength;
    };
    this.#exchange = start({
      part: (bytes, exchange) => {
        if (this.#error) return;
        push(bytes, exchange);
        if (this.#queuedBytes > maxBytes) {
          this.#error = new LimitError(`more than ${maxBytes} bytes of ${exchange.request.target} are unread`);
          exchange.cancel("unread");
        }
        this.#wake();
      },
      end: (bytes, exchange) => {
        // The frame that ends a stream is empty unless the last part travels with it.
        if (bytes.byteLength > 0) push(bytes, exchange);
        this.#ended = true;
        this.#wake();
      },
      fail: (error) => {
        this.#error ??= error;
        this.#ended = true;
        this.#wake();
      },
    });
  }

  #wake() {
    for (const wake of this.#waiting.splice(0)) wake();
  }

  [Symbol.asyncIterator]() {
    return this;
  }

  /** @returns {Promise<IteratorResult<import("./payload.js").Answer, undefined>>} */
  async next() {
    for (;;) {
      const part = this.#queue.shift();
      if (part) {
        this.#queuedBytes -= part.bytes.byteLength;
        return { done: false, value: part };
      }
      if (this.#error) throw this.#error;
      if (this.#ended) return { done: true, value: undefined };
      await new Promise((/** @type {(value?: any) => void} */ resolve) => this.#waiting.push(resolve));
    }
  }

  /** @returns {Promise<IteratorResult<import("./payload.js").Answer, undefined>>} */
  async return() {
    await this.cancel();
    return { done: true, value: undefined };
  }

  /**
   * Stops the stream and waits until the other side confirms, or has ended it already.
   *
   * @param {unknown} [reason]
   */
  async cancel(reason) {
    if (!this.#ended) this.#exchange?.cancel(reason);
    while (!this.#ended) {
      await new Promise((/** @type {(value?: any) => void} */ resolve) => this.#waiting.push(resolve));
    }
    this.#queue.length = 0;
    if (this.#error instanceof CancelledError) this.#error = undefined;
  }
}
