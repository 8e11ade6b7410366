/**
 * When and how to come back: pure decisions, so that they can be tested without a clock.
 *
 * @module
 */

/**
 * @typedef {"resume" | "fresh" | "no"} How  with the old session, with a new one, or not at all
 */

/**
 * The `closing` message, which the gateway says before every close it starts.
 *
 * @typedef {object} Closing
 * @property {number} code
 * @property {string} [reason]
 * @property {How} reconnect
 * @property {number} [after_ms]
 */

/** First and largest bound of the random delay, in milliseconds. */
export const BACKOFF = Object.freeze({ baseMs: 250, capMs: 15_000 });

/** A connection that lived this long has shown that the gateway is well: the next delay is a first one again. */
export const STABLE_MS = 10_000;

/** No delay that a gateway asks for is obeyed beyond this. */
const MAX_AFTER_MS = 10 * 60_000;

/**
 * Full jitter: anything from nothing to the bound, so that clients that were cut off together do not come back together.
 *
 * @param {number} attempt  0 for the first
 * @param {() => number} random  0 to 1
 * @param {{ baseMs: number, capMs: number }} [bounds]
 * @returns {number}  milliseconds
 */
export function jitter(attempt, random, { baseMs, capMs } = BACKOFF) {
  return Math.floor(random() * Math.min(capMs, baseMs * 2 ** Math.min(attempt, 30)));
}

/**
 * What a close means for the next connection.
 *
 * @param {number} code  of the close frame, 1006 when there was none
 * @param {Closing} [closing]  the gateway's word before it, which decides
 * @returns {{ how: How, afterMs: number }}  at least how long to wait; jitter comes on top
 */
export function afterClose(code, closing) {
  if (closing) {
    const how = ["resume", "fresh", "no"].includes(closing.reconnect) ? closing.reconnect : "fresh";
    return { how, afterMs: delay(closing.after_ms) };
  }
  switch (code) {
    case 1002:
    case 1003:
    case 1007:
    case 1009:
    case 4401:
    case 4403:
    case 4409:
      return { how: "no", afterMs: 0 };
    case 1008:
      return { how: "fresh", afterMs: 5_000 };
    case 4410:
      return { how: "fresh", afterMs: 0 };
    case 4503:
      return { how: "resume", afterMs: 2_000 };
    default:
      return { how: "resume", afterMs: 0 };
  }
}

/**
 * @param {unknown} afterMs  as a message named it
 * @returns {number}
 */
export function delay(afterMs) {
  return typeof afterMs === "number" && afterMs > 0 ? Math.min(afterMs, MAX_AFTER_MS) : 0;
}
