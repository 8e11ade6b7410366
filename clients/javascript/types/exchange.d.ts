/**
 * The exchanges that this client started, from the request to the one frame that ends each.
 *
 * @module
 */
import { Answer } from "./payload.js";
export type Clock = {
    /**
     * milliseconds, only differences count
     */
    now: () => number;
    setTimeout: (run: () => void, ms: number) => any;
    clearTimeout: (timer: any) => void;
};
export type Sink = {
    part: (bytes: Uint8Array, exchange: Exchange) => void;
    end: (bytes: Uint8Array, exchange: Exchange) => void;
    fail: (error: Error) => void;
};
export type Request = {
    handle: string;
    number: bigint;
    /**
     * for messages to people
     */
    target: string;
    payload: Uint8Array;
    /**
     * 0 for none
     */
    timeoutMs: number;
    /**
     * the timeout runs from part to part
     */
    perPart?: boolean;
    signal?: AbortSignal;
    /**
     * it may be made again when its connection goes away
     */
    again?: boolean;
};
/** One exchange. */
export declare class Exchange {
    #private;
    request: Request;
    sink: Sink;
    by: {
        clock: Clock;
        send: (flags: number, payload: Uint8Array) => void;
        forget: () => void;
    };
    startedAt: number;
    /** @type {"open" | "cancelling"} */
    state: "open" | "cancelling";
    partCount: number;
    /**
     * @param {Request} request
     * @param {Sink} sink
     * @param {{ clock: Clock, send: (flags: number, payload: Uint8Array) => void, forget: () => void }} by  its connection
     */
    constructor(request: Request, sink: Sink, by: {
        clock: Clock;
        send: (flags: number, payload: Uint8Array) => void;
        forget: () => void;
    });
    /** Its connection may go away without it: nothing of the answer was seen, and doing it twice does no harm. */
    get mayBeMadeAgain(): boolean;
    /** Milliseconds since the request. */
    get ageMs(): number;
    /**
     * Asks the other side to stop. The exchange ends when it says so, or with the answer that had left before.
     *
     * @param {unknown} [reason]
     */
    cancel(reason?: unknown): void;
    /**
     * A frame of the answer.
     *
     * @param {import("./header.js").Frame} frame
     */
    receive(frame: import("./header.js").Frame): void;
    /** @param {Error} error  that ends it */
    fail(error: Error): void;
    /** Ends it as cancelled, without the other side's word. */
    cancelled(): void;
    /**
     * @param {Uint8Array} bytes
     * @returns {Answer}
     */
    answer(bytes: Uint8Array): Answer;
}
/** The exchanges of one connection by their identity: handle and number together. */
export declare class Exchanges {
    #private;
    send: (handle: string, flags: number, number: bigint, payload: Uint8Array) => void;
    clock: Clock;
    max: number;
    /**
     * @param {object} by
     * @param {(handle: string, flags: number, number: bigint, payload: Uint8Array) => void} by.send  throws when it cannot
     * @param {Clock} by.clock
     * @param {number} by.max  exchanges at once
     */
    constructor({ send, clock, max }: {
        send: (handle: string, flags: number, number: bigint, payload: Uint8Array) => void;
        clock: Clock;
        max: number;
    });
    get size(): number;
    /**
     * Sends a request and keeps its exchange until it ends.
     *
     * @param {Request} request
     * @param {Sink} sink
     * @returns {Exchange}
     * @throws {LimitError | ClosedError} when it was not sent
     */
    start(request: Request, sink: Sink): Exchange;
    /**
     * Makes a request again whose connection went away.
     *
     * @param {Exchange} exchange  which no other connection has
     * @param {string} handle  of its target here
     */
    adopt(exchange: Exchange, handle: string): void;
    /**
     * @param {import("./header.js").Frame} frame  without `INBOUND`
     * @returns {boolean}  whether it belongs to an open exchange
     */
    receive(frame: import("./header.js").Frame): boolean;
    /**
     * Ends one: the gateway refused its frame by a control message.
     *
     * @param {string} handle
     * @param {bigint} number
     * @param {number} status
     * @returns {boolean}
     */
    refuse(handle: string, number: bigint, status: number): boolean;
    /**
     * Ends every exchange with a peer who is gone.
     *
     * @param {string} handle
     */
    endWith(handle: string): void;
    /**
     * The connection is gone: what is open is in doubt.
     *
     * @param {number} [code]  of the close
     * @param {(exchanges: Exchange[]) => void} [orphans]  takes those that may be made again
     */
    endAll(code?: number, orphans?: (exchanges: Exchange[]) => void): void;
}
/**
 * A sink that collects a whole answer for a promise.
 *
 * @param {number} maxBytes
 * @param {(answer: Answer) => void} resolve
 * @param {(error: Error) => void} reject
 * @returns {Sink}
 */
export declare function collector(maxBytes: number, resolve: (answer: Answer) => void, reject: (error: Error) => void): Sink;
