/**
 * Keeps a client connected: opens links, comes back after they end, moves to another gateway when one drains.
 *
 * @module
 */
import { Link } from "./link.js";
export type State = "idle" | "connecting" | "open" | "waiting" | "closed";
export type StateChange = {
    state: State;
    previous: State;
    /**
     * of `waiting`: how many attempts in a row have failed
     */
    attempt?: number;
    /**
     * of `waiting`: until the next attempt
     */
    delayMs?: number;
    /**
     * of the close before it
     */
    code?: number;
    reason?: string;
};
export type KeeperHooks = {
    control: (link: Link, message: {
        type: string;
        [field: string]: any;
    }) => void;
    frame: (link: Link, frame: import("./header.js").Frame) => void;
    state: (change: StateChange) => void;
    token: () => string | undefined | Promise<string | undefined>;
    tokenRefused: () => void;
    /**
     * calls that may be made again
     */
    orphans: (exchanges: import("./exchange.js").Exchange[]) => void;
    /**
     * the fields of a `resume` message
     */
    resume: () => {
        [field: string]: any;
    };
    tap: ((tap: import("./link.js").Tap) => void) | undefined;
};
/**
 * @typedef {"idle" | "connecting" | "open" | "waiting" | "closed"} State
 *
 * @typedef {object} StateChange
 * @property {State} state
 * @property {State} previous
 * @property {number} [attempt]  of `waiting`: how many attempts in a row have failed
 * @property {number} [delayMs]  of `waiting`: until the next attempt
 * @property {number} [code]  of the close before it
 * @property {string} [reason]
 */
/**
 * @typedef {object} KeeperHooks
 * @property {(link: Link, message: { type: string, [field: string]: any }) => void} control
 * @property {(link: Link, frame: import("./header.js").Frame) => void} frame
 * @property {(change: StateChange) => void} state
 * @property {() => string | undefined | Promise<string | undefined>} token
 * @property {() => void} tokenRefused
 * @property {(exchanges: import("./exchange.js").Exchange[]) => void} orphans  calls that may be made again
 * @property {() => { [field: string]: any }} resume  the fields of a `resume` message
 * @property {((tap: import("./link.js").Tap) => void) | undefined} tap
 */
/** The life of a client's connections. At most one is current; one may be coming, and few may be finishing. */
export declare class Keeper {
    #private;
    url: string;
    session: import("./session.js").Session;
    clock: import("./exchange.js").Clock;
    random: () => number;
    limits: {
        maxInFlight: number;
        maxControls: number;
        maxBuffered: number;
    };
    options: {
        reconnect: boolean;
        resume: boolean;
        WebSocket?: import("./socket.js").SocketConstructor;
        socketOptions?: any;
    };
    hooks: KeeperHooks;
    /** @type {State} */
    state: State;
    /** @type {Link | undefined} */
    current: Link | undefined;
    /**
     * @param {object} by
     * @param {string} by.url
     * @param {import("./session.js").Session} by.session
     * @param {import("./exchange.js").Clock} by.clock
     * @param {() => number} by.random
     * @param {{ maxInFlight: number, maxControls: number, maxBuffered: number }} by.limits
     * @param {{ reconnect: boolean, resume: boolean, WebSocket?: import("./socket.js").SocketConstructor, socketOptions?: any }} by.options
     * @param {KeeperHooks} by.hooks
     */
    constructor({ url, session, clock, random, limits, options, hooks }: {
        url: string;
        session: import("./session.js").Session;
        clock: import("./exchange.js").Clock;
        random: () => number;
        limits: {
            maxInFlight: number;
            maxControls: number;
            maxBuffered: number;
        };
        options: {
            reconnect: boolean;
            resume: boolean;
            WebSocket?: import("./socket.js").SocketConstructor;
            socketOptions?: any;
        };
        hooks: KeeperHooks;
    });
    /** Every link that may still bring an answer. */
    get links(): Link[];
    /**
     * Another link has taken its place: it finishes its calls, or its close handshake.
     *
     * @param {Link} link
     */
    isOver(link: Link): boolean;
    /** Starts, or tries again at once when it was waiting. */
    open(): void;
    /**
     * @param {number} code
     * @param {string} reason
     */
    close(code: number, reason: string): void;
    /** Ends the current link as if the network had: for tools that show what happens then. */
    interrupt(): void;
    /**
     * A link has its session: it is the current one, and the one before it finishes its calls.
     *
     * @param {Link} link
     */
    established(link: Link): void;
    /** The resume token was renewed: its window begins again. */
    renewed(): void;
    /**
     * The gateway drains: connect elsewhere after a delay, while the old link still answers.
     *
     * @param {Link} link
     * @param {any} afterMs
     */
    goingAway(link: Link, afterMs: any): void;
}
