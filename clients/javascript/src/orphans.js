/**
 * Calls whose connection went away before their answer, and which may be made again because the endpoint is idempotent.
 *
 * @module
 */

import { ClosedError } from "./errors.js";

/** They keep their deadlines, and can be cancelled, while there is no connection. */
export class Orphans {
  /** @type {Set<import("./exchange.js").Exchange>} */
  #waiting = new Set();

  /** @param {Iterable<import("./exchange.js").Exchange>} exchanges  whose link is gone */
  take(exchanges) {
    for (const exchange of exchanges) {
      this.#waiting.add(exchange);
      exchange.by = {
        clock: exchange.by.clock,
        // Only cancels are sent by an exchange itself, and here is nobody who could confirm one.
        send: () => exchange.cancelled(),
        forget: () => this.#waiting.delete(exchange),
      };
    }
  }

  /**
   * Makes them again. A number that no answer came to is still free, also in a session that begins afresh; a repeat under the
   * same number in the same session carries the same idempotency key.
   *
   * @param {import("./exchange.js").Exchanges} exchanges  of a link with a session
   * @param {ReadonlyMap<string, string>} services  what may be called there: name → handle
   */
  give(exchanges, services) {
    for (const exchange of [...this.#waiting]) {
      const handle = services.get(exchange.request.target);
      this.#waiting.delete(exchange);
      if (handle === undefined) exchange.fail(inDoubt(exchange));
      else exchanges.adopt(exchange, handle);
    }
  }

  /** @param {number} [code]  of the close: there will be no connection */
  failAll(code) {
    for (const exchange of [...this.#waiting]) exchange.fail(inDoubt(exchange, code));
  }
}

/**
 * @param {import("./exchange.js").Exchange} exchange
 * @param {number} [code]  of the close
 * @returns {ClosedError}  it may have been carried out
 */
export function inDoubt({ request }, code) {
  return new ClosedError(`the connection ended before ${request.target} answered`, { code, inDoubt: true });
}
