/**
 * One socket: frames in and out, the exchanges and control messages that live and die with it.
 *
 * @module
 */
import { Controls } from "./control.js";
import { Exchanges } from "./exchange.js";
export type Tap = {
    direction: "in" | "out";
    /**
     * milliseconds since the epoch
     */
    at: number;
    /**
     * of a control message
     */
    text?: string;
    /**
     * of a data frame, its 24 header bytes included
     */
    bytes?: Uint8Array;
    /**
     * the same taken apart
     */
    frame?: import("./header.js").Frame;
};
export type LinkHooks = {
    opened: (link: Link) => void;
    control: (link: Link, message: {
        type: string;
        [field: string]: any;
    }) => void;
    frame: (link: Link, frame: import("./header.js").Frame) => void;
    /**
     * exactly once
     */
    gone: (link: Link, code: number, reason: string) => void;
    /**
     * calls that may be made again elsewhere
     */
    orphans?: (exchanges: import("./exchange.js").Exchange[]) => void;
    tap?: ((tap: Tap) => void) | undefined;
};
/**
 * One frame as it passed the socket, for logs and tools.
 *
 * @typedef {object} Tap
 * @property {"in" | "out"} direction
 * @property {number} at  milliseconds since the epoch
 * @property {string} [text]  of a control message
 * @property {Uint8Array} [bytes]  of a data frame, its 24 header bytes included
 * @property {import("./header.js").Frame} [frame]  the same taken apart
 */
/**
 * @typedef {object} LinkHooks
 * @property {(link: Link) => void} opened
 * @property {(link: Link, message: { type: string, [field: string]: any }) => void} control
 * @property {(link: Link, frame: import("./header.js").Frame) => void} frame
 * @property {(link: Link, code: number, reason: string) => void} gone  exactly once
 * @property {(exchanges: import("./exchange.js").Exchange[]) => void} [orphans]  calls that may be made again elsewhere
 * @property {((tap: Tap) => void) | undefined} [tap]
 */
/** A connection to one gateway. */
export declare class Link {
    #private;
    socket: import("./socket.js").Socket;
    clock: import("./exchange.js").Clock;
    limits: {
        maxInFlight: number;
        maxControls: number;
        maxBuffered: number;
    };
    hooks: LinkHooks;
    heardAt: number;
    controls: Controls;
    exchanges: Exchanges;
    /** @type {import("./reconnect.js").Closing | undefined} What the gateway said before it closed. */
    closing: import("./reconnect.js").Closing | undefined;
    /** It asked for a resume. */
    resuming: boolean;
    /** @type {string | undefined} Of the session that it has, once it has one. */
    sessionId: string | undefined;
    /**
     * @param {import("./socket.js").Socket} socket  not yet open
     * @param {object} by
     * @param {import("./exchange.js").Clock} by.clock
     * @param {{ maxInFlight: number, maxControls: number, maxBuffered: number }} by.limits
     * @param {LinkHooks} by.hooks
     */
    constructor(socket: import("./socket.js").Socket, { clock, limits, hooks }: {
        clock: import("./exchange.js").Clock;
        limits: {
            maxInFlight: number;
            maxControls: number;
            maxBuffered: number;
        };
        hooks: LinkHooks;
    });
    /** @param {{ type: string, [field: string]: any }} message */
    sendControl(message: {
        type: string;
        [field: string]: any;
    }): void;
    /** @param {string} text */
    sendText(text: string): void;
    /**
     * @param {string} handle
     * @param {number} flags
     * @param {bigint} number
     * @param {Uint8Array} payload
     */
    sendFrame(handle: string, flags: number, number: bigint, payload: Uint8Array): void;
    /**
     * Begins the close handshake; the end comes when the server has answered it.
     *
     * @param {number} [code]
     * @param {string} [reason]
     */
    close(code?: number, reason?: string): void;
    /**
     * Gives the socket up at once: nobody answers there.
     *
     * @param {number} code
     * @param {string} reason
     */
    drop(code: number, reason: string): void;
}
