/**
 * The exchanges that others started: requests of peers and of services, and their answers.
 *
 * @module
 */
import { Body } from "./payload.js";
export type Reply = import("./payload.js").Payload | AsyncIterable<import("./payload.js").Payload>;
export type Handler = (request: InboundRequest) => Reply | Promise<Reply>;
/**
 * What a handler gives back. An async iterable is sent part by part.
 *
 * @typedef {import("./payload.js").Payload | AsyncIterable<import("./payload.js").Payload>} Reply
 */
/**
 * @callback Handler
 * @param {InboundRequest} request
 * @returns {Reply | Promise<Reply>}
 */
/** A request of a peer, or of a service that speaks first. */
export declare class InboundRequest extends Body {
    handle: string;
    number: bigint;
    /** From a service, by way of a log. */
    logged: boolean;
    /** Aborted when the asker cancels, gives up or is gone: an answer would reach nobody. */
    signal: AbortSignal;
    /** Who asks, when it is a peer. */
    peer: import("./peers.js").Peer | undefined;
    /** What asks, when it is a service: the event's name. */
    event: string | undefined;
    /**
     * @param {object} about
     * @param {string} about.handle
     * @param {bigint} about.number
     * @param {boolean} about.logged
     * @param {Uint8Array} about.payload
     * @param {AbortSignal} [about.signal]
     * @param {import("./peers.js").Peer} [about.peer]
     * @param {string} [about.event]
     */
    constructor({ handle, number, logged, payload, signal, peer, event }: {
        handle: string;
        number: bigint;
        logged: boolean;
        payload: Uint8Array;
        signal?: AbortSignal;
        peer?: import("./peers.js").Peer;
        event?: string;
    });
}
/** What a service tells: it wants no answer, and its signal is never aborted. */
export declare class Push extends InboundRequest {
    /**
     * @param {Uint8Array} payload
     * @param {{ event: string | undefined, handle: string, number: bigint, logged: boolean }} about
     */
    constructor(payload: Uint8Array, about: {
        event: string | undefined;
        handle: string;
        number: bigint;
        logged: boolean;
    });
}
/** Inbound exchanges by their identity: handle, `LOGGED` or not, and number. */
export declare class Inbound {
    #private;
    send: (handle: string, flags: number, number: bigint, payload: Uint8Array) => void;
    max: number;
    clock: import("./exchange.js").Clock;
    /**
     * @param {object} by
     * @param {(handle: string, flags: number, number: bigint, payload: Uint8Array) => void} by.send  throws when it cannot
     * @param {number} by.max  requests answered at once
     * @param {import("./exchange.js").Clock} by.clock
     */
    constructor({ send, max, clock }: {
        send: (handle: string, flags: number, number: bigint, payload: Uint8Array) => void;
        max: number;
        clock: import("./exchange.js").Clock;
    });
    get size(): number;
    /**
     * Answers a request by a handler, in its own time.
     *
     * @param {import("./header.js").Frame} frame
     * @param {{ peer?: import("./peers.js").Peer, event?: string }} from
     * @param {Handler | undefined} handler
     * @returns {Promise<void>}  when the answer has left; never rejects
     */
    answer(frame: import("./header.js").Frame, from: {
        peer?: import("./peers.js").Peer;
        event?: string;
    }, handler: Handler | undefined): Promise<void>;
    /**
     * @param {import("./header.js").Frame} frame  with `INBOUND` and `ERROR`: that exchange is over
     */
    over(frame: import("./header.js").Frame): void;
    /**
     * Ends the requests of a peer who is gone.
     *
     * @param {string} handle
     */
    endWith(handle: string): void;
    /** Ends everything: the session it belonged to is over. */
    endAll(): void;
    /** @returns {string[]}  what a resume lists: the newest 32 numbers of services that are being answered, or were */
    openNumbers(): string[];
    /** Repeats the kept answers, after a resume. */
    repeat(): void;
}
