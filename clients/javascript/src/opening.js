/**
 * The first connection, as something to wait for.
 *
 * @module
 */

import { ClosedError, TimeoutError } from "./errors.js";

/**
 * Opens a client and waits for the gateway's first word.
 *
 * @template {import("./client.js").Client} C
 * @param {C} client
 * @param {object} by
 * @param {() => void} by.open
 * @param {AbortSignal} [by.signal]  closes the client
 * @param {import("./exchange.js").Clock} by.clock
 * @param {number} by.timeoutMs
 * @returns {Promise<C>}
 */
export function opened(client, { open, signal, clock, timeoutMs }) {
  return new Promise((resolve, reject) => {
    /** @type {{ code?: number, reason?: string }} */
    let last = {};
    const timer = clock.setTimeout(() => {
      done();
      const error = new TimeoutError("the gateway", timeoutMs);
      error.cause = new ClosedError(last.reason || `closed with ${last.code}`, { code: last.code });
      client.close();
      reject(error);
    }, timeoutMs);
    const abort = () => {
      done();
      client.close();
      reject(signal?.reason);
    };
    const unlisten = [
      client.on("discovery", () => {
        done();
        resolve(client);
      }),
      client.on("state", (change) => {
        last = change;
        if (change.state !== "closed") return;
        done();
        reject(new ClosedError(change.reason || `the gateway closed with ${change.code}`, { code: change.code }));
      }),
    ];
    const done = () => {
      clock.clearTimeout(timer);
      signal?.removeEventListener("abort", abort);
      for (const remove of unlisten) remove();
    };
    if (signal?.aborted) return abort();
    signal?.addEventListener("abort", abort, { once: true });
    open();
  });
}
