/**
 * A streamed answer as an async iterator over its parts.
 *
 * @module
 */
/**
 * Iterate it once. Leaving the loop early cancels the exchange and waits until the other side has confirmed.
 *
 * @implements {AsyncIterableIterator<import("./payload.js").Answer>}
 */
export declare class AnswerStream implements AsyncIterableIterator<import("./payload.js").Answer> {
    #private;
    /**
     * @param {number} maxBytes  unread parts at once; a reader slower than that loses the stream, not its memory
     * @param {(sink: import("./exchange.js").Sink) => import("./exchange.js").Exchange} start
     */
    constructor(maxBytes: number, start: (sink: import("./exchange.js").Sink) => import("./exchange.js").Exchange);
    [Symbol.asyncIterator](): this;
    /** @returns {Promise<IteratorResult<import("./payload.js").Answer, undefined>>} */
    next(): Promise<IteratorResult<import("./payload.js").Answer, undefined>>;
    /** @returns {Promise<IteratorResult<import("./payload.js").Answer, undefined>>} */
    return(): Promise<IteratorResult<import("./payload.js").Answer, undefined>>;
    /**
     * Stops the stream and waits until the other side confirms, or has ended it already.
     *
     * @param {unknown} [reason]
     */
    cancel(reason?: unknown): Promise<void>;
}
