/**
 * The client: what an application holds.
 *
 * @module
 */
import { Emitter } from "./emitter.js";
import { Body } from "./payload.js";
import { PeerMessage } from "./peers.js";
import { AnswerStream } from "./stream.js";
export type ClientOptions = {
    /**
     * a JWT, or who gets one when a connection begins
     */
    token?: string | (() => string | undefined | Promise<string | undefined>);
    /**
     * come back after the connection ends; true unless said otherwise
     */
    reconnect?: boolean;
    /**
     * offer the resume token then; true unless said otherwise
     */
    resume?: boolean;
    /**
     * of calls, in milliseconds; 15,000
     */
    timeout?: number;
    /**
     * of `open`, in milliseconds; 30,000
     */
    connectTimeout?: number;
    /**
     * open exchanges of this client; 1,024
     */
    maxInFlight?: number;
    /**
     * requests answered at once; 256
     */
    maxInbound?: number;
    /**
     * of a collected answer; 16 MiB
     */
    maxAnswerBytes?: number;
    /**
     * of one stream; 4 MiB
     */
    maxUnreadBytes?: number;
    /**
     * waiting to be sent; 8 MiB
     */
    maxBufferedBytes?: number;
    /**
     * in the place of the platform's
     */
    WebSocket?: import("./socket.js").SocketConstructor;
    /**
     * the `Origin` header; only outside browsers, with the package `ws`
     */
    origin?: string;
    /**
     * the third argument of that WebSocket; browsers ignore it
     */
    socketOptions?: any;
    /**
     * for tests
     */
    clock?: import("./exchange.js").Clock;
    /**
     * for tests
     */
    random?: () => number;
};
export type CallOptions = {
    /**
     * milliseconds until the last frame, for streams until the next one; 0 for none
     */
    timeout?: number;
    /**
     * cancels; the promise settles when the other side has confirmed
     */
    signal?: AbortSignal;
    /**
     * the promise gives the bare bytes
     */
    raw?: boolean;
};
export type ClientEvents = {
    state: import("./keeper.js").StateChange;
    /**
     * a session began or was resumed
     */
    discovery: import("./session.js").Discovery;
    /**
     * the set of names changed
     */
    update: import("./session.js").Update;
    peers: import("./peers.js").PeersChange;
    /**
     * a one-way message of a peer
     */
    message: PeerMessage;
    /**
     * a one-way message of a service
     */
    push: Push;
    /**
     * a login service gave this client a token; it is remembered
     */
    token: {
        token: string;
        expiresInS?: number;
    };
    token_expiring: {
        expiresInS?: number;
    };
    closing: import("./reconnect.js").Closing;
    going_away: {
        afterMs: number;
        reason?: string;
    };
    /**
     * messages that can no longer be delivered
     */
    gap: Record<string, any>;
    /**
     * an `error` that answers no message of this client by `id`
     */
    refused: Record<string, any>;
    /**
     * every control message of the gateway, after it took effect
     */
    control: {
        type: string;
        [field: string]: any;
    };
    /**
     * every frame in both directions
     */
    frame: import("./link.js").Tap;
};
/**
 * @typedef {object} ClientOptions
 * @property {string | (() => string | undefined | Promise<string | undefined>)} [token]  a JWT, or who gets one when a connection begins
 * @property {boolean} [reconnect]  come back after the connection ends; true unless said otherwise
 * @property {boolean} [resume]  offer the resume token then; true unless said otherwise
 * @property {number} [timeout]  of calls, in milliseconds; 15,000
 * @property {number} [connectTimeout]  of `open`, in milliseconds; 30,000
 * @property {number} [maxInFlight]  open exchanges of this client; 1,024
 * @property {number} [maxInbound]  requests answered at once; 256
 * @property {number} [maxAnswerBytes]  of a collected answer; 16 MiB
 * @property {number} [maxUnreadBytes]  of one stream; 4 MiB
 * @property {number} [maxBufferedBytes]  waiting to be sent; 8 MiB
 * @property {import("./socket.js").SocketConstructor} [WebSocket]  in the place of the platform's
 * @property {string} [origin]  the `Origin` header; only outside browsers, with the package `ws`
 * @property {any} [socketOptions]  the third argument of that WebSocket; browsers ignore it
 * @property {import("./exchange.js").Clock} [clock]  for tests
 * @property {() => number} [random]  for tests
 */
/**
 * @typedef {object} CallOptions
 * @property {number} [timeout]  milliseconds until the last frame, for streams until the next one; 0 for none
 * @property {AbortSignal} [signal]  cancels; the promise settles when the other side has confirmed
 * @property {boolean} [raw]  the promise gives the bare bytes
 */
/**
 * @typedef {object} ClientEvents
 * @property {import("./keeper.js").StateChange} state
 * @property {import("./session.js").Discovery} discovery  a session began or was resumed
 * @property {import("./session.js").Update} update  the set of names changed
 * @property {import("./peers.js").PeersChange} peers
 * @property {PeerMessage} message  a one-way message of a peer
 * @property {Push} push  a one-way message of a service
 * @property {{ token: string, expiresInS?: number }} token  a login service gave this client a token; it is remembered
 * @property {{ expiresInS?: number }} token_expiring
 * @property {import("./reconnect.js").Closing} closing
 * @property {{ afterMs: number, reason?: string }} going_away
 * @property {Record<string, any>} gap  messages that can no longer be delivered
 * @property {Record<string, any>} refused  an `error` that answers no message of this client by `id`
 * @property {{ type: string, [field: string]: any }} control  every control message of the gateway, after it took effect
 * @property {import("./link.js").Tap} frame  every frame in both directions
 */
/** A one-way message of a service. */
export declare class Push extends Body {
    event: string | undefined;
    handle: string;
    number: bigint;
    logged: boolean;
    /**
     * @param {Uint8Array} bytes
     * @param {{ event: string | undefined, handle: string, number: bigint, logged: boolean }} about
     */
    constructor(bytes: Uint8Array, { event, handle, number, logged }: {
        event: string | undefined;
        handle: string;
        number: bigint;
        logged: boolean;
    });
}
/**
 * One client of one gateway fleet, over as many connections as it takes.
 *
 * @extends {Emitter<ClientEvents>}
 */
export declare class Client extends Emitter<ClientEvents> {
    #private;
    /**
     * @param {string} url  of the gateway's `/connect`: `ws:`, `wss:`, `http:`, `https:`, or relative to the page
     * @param {ClientOptions} [options]
     */
    constructor(url: string, options?: ClientOptions);
    /** Where the connection stands. */
    get state(): import("./keeper.js").State;
    /** @returns {ReadonlyMap<string, string>} What this client may call: name → handle. */
    get services(): ReadonlyMap<string, string>;
    /** @returns {ReadonlyMap<string, string>} What services may send to this client: name → handle. */
    get events(): ReadonlyMap<string, string>;
    /** @returns {ReadonlyMap<string, import("./peers.js").Peer>} Whom this client may talk to, by label. */
    get peers(): ReadonlyMap<string, import("./peers.js").Peer>;
    /** The session's facts: ids, revision, limits. */
    get session(): import("./session.js").Discovery;
    /**
     * @param {string} handle
     * @returns {{ kind: "service" | "event" | "peer", name: string } | undefined}  what a handle of this session means
     */
    nameOf(handle: string): {
        kind: "service" | "event" | "peer";
        name: string;
    } | undefined;
    /**
     * Connects, and keeps connected from then on. Tries until the gateway has said what this client may call.
     *
     * @param {{ signal?: AbortSignal }} [options]
     * @returns {Promise<this>}
     * @throws {ClosedError} the gateway does not want this client
     * @throws {TimeoutError} no gateway within `connectTimeout`; the client is closed then
     */
    open({ signal }?: {
        signal?: AbortSignal;
    }): Promise<this>;
    /**
     * Ends the connection for good; `open` may begin another.
     *
     * @param {number} [code]  1000, or 3000 to 4999
     * @param {string} [reason]
     */
    close(code?: number, reason?: string): void;
    /** Drops the connection as a broken network would: the client comes back by itself. For tools and tests. */
    interrupt(): void;
    /**
     * Logs in, or refreshes, on the open connection. The token is remembered for the next one.
     *
     * @param {string} token  a JWT
     * @returns {Promise<{ [field: string]: any }>}  the gateway's `ok`, which says the expiry
     * @throws {import("./errors.js").ControlError} the token was refused
     */
    authenticate(token: string): Promise<{
        [field: string]: any;
    }>;
    /**
     * Remembers a token for the next connection, without a word to the gateway.
     *
     * @param {ClientOptions["token"]} token
     */
    setToken(token: ClientOptions["token"]): void;
    /** @returns {Promise<number>}  milliseconds to the gateway and back */
    ping(): Promise<number>;
    /**
     * @param {string} name  of an endpoint or event
     * @returns {Promise<{ [field: string]: any }>}  its schema, where it publishes one
     */
    describe(name: string): Promise<{
        [field: string]: any;
    }>;
    /**
     * Asks to withdraw from a peer.
     *
     * @param {string} label
     */
    part(label: string): Promise<{
        [field: string]: any;
    }>;
    /**
     * Any control message; the promise gives its `ok`.
     *
     * @param {{ type: string, [field: string]: any }} message
     * @param {{ timeout?: number }} [options]
     * @returns {Promise<{ [field: string]: any }>}
     */
    control(message: {
        type: string;
        [field: string]: any;
    }, { timeout }?: {
        timeout?: number;
    }): Promise<{
        [field: string]: any;
    }>;
    /**
     * Calls an endpoint.
     *
     * @overload
     * @param {string} name
     * @param {import("./payload.js").Payload} payload
     * @param {CallOptions & { raw: true }} options
     * @returns {Promise<Uint8Array>}
     */
    /**
     * @overload
     * @param {string} name
     * @param {import("./payload.js").Payload} [payload]
     * @param {CallOptions} [options]
     * @returns {Promise<import("./payload.js").Answer>}
     */
    /**
     * @param {string} name  `<service>.<endpoint>`
     * @param {import("./payload.js").Payload} [payload]
     * @param {CallOptions} [options]
     * @returns {Promise<any>}
     * @throws {import("./errors.js").CallError} it answered with an error
     * @throws {UnavailableError} this client may not call it
     * @throws {TimeoutError | CancelledError | ClosedError}
     */
    call(name: string, payload: import("./payload.js").Payload, options: CallOptions & {
        raw: true;
    }): Promise<Uint8Array>;
    /**
     * Calls an endpoint.
     *
     * @overload
     * @param {string} name
     * @param {import("./payload.js").Payload} payload
     * @param {CallOptions & { raw: true }} options
     * @returns {Promise<Uint8Array>}
     */
    /**
     * @overload
     * @param {string} name
     * @param {import("./payload.js").Payload} [payload]
     * @param {CallOptions} [options]
     * @returns {Promise<import("./payload.js").Answer>}
     */
    /**
     * @param {string} name  `<service>.<endpoint>`
     * @param {import("./payload.js").Payload} [payload]
     * @param {CallOptions} [options]
     * @returns {Promise<any>}
     * @throws {import("./errors.js").CallError} it answered with an error
     * @throws {UnavailableError} this client may not call it
     * @throws {TimeoutError | CancelledError | ClosedError}
     */
    call(name: string, payload?: import("./payload.js").Payload, options?: CallOptions): Promise<import("./payload.js").Answer>;
    /**
     * Calls an endpoint that answers part by part.
     *
     * @param {string} name
     * @param {import("./payload.js").Payload} [payload]
     * @param {CallOptions} [options]
     * @returns {AnswerStream}
     * @throws {UnavailableError | ClosedError}
     */
    stream(name: string, payload?: import("./payload.js").Payload, options?: CallOptions): AnswerStream;
    /**
     * Sends something that wants no answer: none comes, not even an error.
     *
     * @param {string} name
     * @param {import("./payload.js").Payload} [payload]
     */
    oneWay(name: string, payload?: import("./payload.js").Payload): void;
    /**
     * Answers the requests that services send under an event's name.
     *
     * @param {string} event  `<service>.<event>`
     * @param {import("./inbound.js").Handler | undefined} handler  none: this client answers 501
     */
    answer(event: string, handler: import("./inbound.js").Handler | undefined): void;
    /**
     * Answers the requests of peers that have no `onRequest` of their own.
     *
     * @param {import("./inbound.js").Handler | undefined} handler  none: this client answers 501
     */
    answerPeers(handler: import("./inbound.js").Handler | undefined): void;
    /**
     * Waits until this client may call a name.
     *
     * @param {string} name
     * @param {{ signal?: AbortSignal }} [options]
     * @returns {Promise<void>}
     */
    available(name: string, { signal }?: {
        signal?: AbortSignal;
    }): Promise<void>;
}
/**
 * A client that is connected.
 *
 * @param {string} url
 * @param {ClientOptions & { signal?: AbortSignal }} [options]
 * @returns {Promise<Client>}
 */
export declare function connect(url: string, options?: ClientOptions & {
    signal?: AbortSignal;
}): Promise<Client>;
