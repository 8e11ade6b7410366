/**
 * Everything this client throws, one class per reason a caller may want to tell apart.
 *
 * @module
 */
/** The base of all errors of this client. */
export declare class BannouError extends Error {
    /**
     * @param {string} message
     * @param {{ cause?: unknown }} [options]
     */
    constructor(message: string, options?: {
        cause?: unknown;
    });
}
export type Problem = {
    status: number;
    title: string;
    type?: string;
    detail?: string;
    instance?: string;
    retry_after_ms?: number;
};
/**
 * Problem JSON (RFC 9457) as the gateway writes it. `instance` names the event in the gateway's log.
 *
 * @typedef {object} Problem
 * @property {number} status
 * @property {string} title
 * @property {string} [type]
 * @property {string} [detail]
 * @property {string} [instance]
 * @property {number} [retry_after_ms]
 */
/** The other party, or the gateway in its place, answered with an error. */
export declare class CallError extends BannouError {
    /** What was called. */
    target: string;
    /** HTTP's status. */
    status: number;
    /** The body as it came. */
    body: Uint8Array<ArrayBufferLike>;
    /** @type {Problem | undefined} The body, when it is problem JSON. */
    problem: Problem | undefined;
    /**
     * @param {string} target  what was called: a name, or a peer's label
     * @param {number} status  HTTP's
     * @param {Uint8Array} body  what came with it, unread
     */
    constructor(target: string, status: number, body?: Uint8Array);
    /** How long to wait before another try, in milliseconds, where the gateway said so. */
    get retryAfterMs(): number | undefined;
    /** The body as text. */
    text(): string;
    /**
     * The body as JSON.
     * @returns {any}
     * @throws {SyntaxError} when it is not JSON
     */
    json(): any;
}
/** The gateway refused a control message. */
export declare class ControlError extends BannouError {
    /** HTTP's status, 0 when there was none. */
    status: number;
    title: string;
    detail: string;
    /**
     * @param {string} type  of the message that was refused
     * @param {{ status?: number, title?: string, detail?: string }} answer
     */
    constructor(type: string, answer: {
        status?: number;
        title?: string;
        detail?: string;
    });
}
/** The caller's own deadline passed. A cancel is on its way; whether the work was done is unknown. */
export declare class TimeoutError extends BannouError {
    target: string;
    timeoutMs: number;
    /**
     * @param {string} target
     * @param {number} timeoutMs
     */
    constructor(target: string, timeoutMs: number);
}
/** The caller cancelled, or, for a handler of this client, does not wait any more. */
export declare class CancelledError extends BannouError {
    target: string;
    status: number;
    confirmed: boolean;
    answer: import("./payload.js").Answer | undefined;
    /**
     * @param {string} target
     * @param {object} [end]
     * @param {boolean} [end.confirmed]  the other side said 499: it will not answer any more
     * @param {import("./payload.js").Answer} [end.answer]  the answer, when it had left before the cancel arrived
     * @param {unknown} [end.reason]  of the signal
     * @param {number} [end.status]  of a request of others: 499 cancelled, 408 too late, 404 gone or already answered
     */
    constructor(target: string, { confirmed, answer, reason, status }?: {
        confirmed?: boolean;
        answer?: import("./payload.js").Answer;
        reason?: unknown;
        status?: number;
    });
}
/** The connection is not there, or went away while an answer was awaited. */
export declare class ClosedError extends BannouError {
    code: number | undefined;
    inDoubt: boolean;
    /**
     * @param {string} message
     * @param {object} [about]
     * @param {number} [about.code]  the close code
     * @param {boolean} [about.inDoubt]  the request had left, so it may have been carried out
     * @param {unknown} [about.cause]
     */
    constructor(message: string, { code, inDoubt, cause }?: {
        code?: number;
        inDoubt?: boolean;
        cause?: unknown;
    });
}
/** This client may not call that name, or it does not exist: the two look the same on purpose. */
export declare class UnavailableError extends BannouError {
    target: string;
    /** @param {string} target */
    constructor(target: string);
}
/** A bound of this client was reached: too many exchanges, too much unread or unsent. */
export declare class LimitError extends BannouError {
}
/** The other side, or the caller, broke the protocol. */
export declare class ProtocolError extends BannouError {
}
/**
 * Thrown by an answering handler to answer with an error.
 *
 * @example throw new AnswerError(409, "that square is taken");
 */
export declare class AnswerError extends BannouError {
    status: number;
    body: import("./payload.js").Payload;
    /**
     * @param {number} status  HTTP's, 400 to 599
     * @param {import("./payload.js").Payload} [body]
     */
    constructor(status: number, body?: import("./payload.js").Payload);
}
