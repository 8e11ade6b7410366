/**
 * When and how to come back: pure decisions, so that they can be tested without a clock.
 *
 * @module
 */
export type How = "resume" | "fresh" | "no";
export type Closing = {
    code: number;
    reason?: string;
    reconnect: How;
    after_ms?: number;
};
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
export declare const BACKOFF: Readonly<{
    baseMs: 250;
    capMs: 15000;
}>;
/** A connection that lived this long has shown that the gateway is well: the next delay is a first one again. */
export declare const STABLE_MS = 10000;
/**
 * Full jitter: anything from nothing to the bound, so that clients that were cut off together do not come back together.
 *
 * @param {number} attempt  0 for the first
 * @param {() => number} random  0 to 1
 * @param {{ baseMs: number, capMs: number }} [bounds]
 * @returns {number}  milliseconds
 */
export declare function jitter(attempt: number, random: () => number, { baseMs, capMs }?: {
    baseMs: number;
    capMs: number;
}): number;
/**
 * What a close means for the next connection.
 *
 * @param {number} code  of the close frame, 1006 when there was none
 * @param {Closing} [closing]  the gateway's word before it, which decides
 * @returns {{ how: How, afterMs: number }}  at least how long to wait; jitter comes on top
 */
export declare function afterClose(code: number, closing?: Closing): {
    how: How;
    afterMs: number;
};
/**
 * @param {unknown} afterMs  as a message named it
 * @returns {number}
 */
export declare function delay(afterMs: unknown): number;
