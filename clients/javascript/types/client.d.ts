/**
 * The client: what an application holds.
 *
 * @module
 */
import { Emitter } from "./emitter.js";
import { AnswerStream } from "./stream.js";
export type Token = import("./options.js").ClientOptions["token"];
/** @typedef {import("./options.js").ClientOptions["token"]} Token */
/**
 * One client of one gateway fleet, over as many connections as it takes.
 *
 * `on` takes the names of {@link ClientEvents} and those of services, which have a dot: each listener of `game.found` is
 * given what the service tells (a {@link Push}), and the newest one what it asks (an {@link InboundRequest}): what that
 * listener returns, or what its promise gives, is the answer.
 *
 * @extends {Emitter<import("./options.js").ClientEvents>}
 */
export declare class Client extends Emitter<import("./options.js").ClientEvents> {
    #private;
    /**
     * @param {string} url  of the gateway's `/connect`: `ws:`, `wss:`, `http:`, `https:`, or relative to the page
     * @param {import("./options.js").ClientOptions} [options]
     */
    constructor(url: string, options?: import("./options.js").ClientOptions);
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
     * @param {Token} token
     */
    setToken(token: Token): void;
    /** @returns {Promise<number>}  milliseconds to the gateway and back */
    ping(): Promise<number>;
    /**
     * @param {string} name  of an endpoint or event
     * @returns {Promise<{ [field: string]: any }>}  its schema, where it publishes one. An endpoint that says it is idempotent is called
     *   again from then on when a connection breaks, unless the call says otherwise
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
     * @param {import("./options.js").CallOptions & { raw: true }} options
     * @returns {Promise<Uint8Array>}
     */
    /**
     * @overload
     * @param {string} name
     * @param {import("./payload.js").Payload} [payload]
     * @param {import("./options.js").CallOptions} [options]
     * @returns {Promise<import("./payload.js").Answer>}
     */
    /**
     * @param {string} name  `<service>.<endpoint>`
     * @param {import("./payload.js").Payload} [payload]
     * @param {import("./options.js").CallOptions} [options]
     * @returns {Promise<any>}
     * @throws {import("./errors.js").CallError} it answered with an error
     * @throws {UnavailableError} this client may not call it
     * @throws {TimeoutError | CancelledError | ClosedError}
     */
    call(name: string, payload: import("./payload.js").Payload, options: import("./options.js").CallOptions & {
        raw: true;
    }): Promise<Uint8Array>;
    /**
     * Calls an endpoint.
     *
     * @overload
     * @param {string} name
     * @param {import("./payload.js").Payload} payload
     * @param {import("./options.js").CallOptions & { raw: true }} options
     * @returns {Promise<Uint8Array>}
     */
    /**
     * @overload
     * @param {string} name
     * @param {import("./payload.js").Payload} [payload]
     * @param {import("./options.js").CallOptions} [options]
     * @returns {Promise<import("./payload.js").Answer>}
     */
    /**
     * @param {string} name  `<service>.<endpoint>`
     * @param {import("./payload.js").Payload} [payload]
     * @param {import("./options.js").CallOptions} [options]
     * @returns {Promise<any>}
     * @throws {import("./errors.js").CallError} it answered with an error
     * @throws {UnavailableError} this client may not call it
     * @throws {TimeoutError | CancelledError | ClosedError}
     */
    call(name: string, payload?: import("./payload.js").Payload, options?: import("./options.js").CallOptions): Promise<import("./payload.js").Answer>;
    /**
     * Calls an endpoint that answers part by part.
     *
     * @param {string} name
     * @param {import("./payload.js").Payload} [payload]
     * @param {import("./options.js").CallOptions} [options]
     * @returns {AnswerStream}
     * @throws {UnavailableError | ClosedError}
     */
    stream(name: string, payload?: import("./payload.js").Payload, options?: import("./options.js").CallOptions): AnswerStream;
    /**
     * Sends something that wants no answer: none comes, not even an error.
     *
     * @param {string} name
     * @param {import("./payload.js").Payload} [payload]
     */
    oneWay(name: string, payload?: import("./payload.js").Payload): void;
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
 * @param {import("./options.js").ClientOptions & { signal?: AbortSignal }} [options]
 * @returns {Promise<Client>}
 */
export declare function connect(url: string, options?: import("./options.js").ClientOptions & {
    signal?: AbortSignal;
}): Promise<Client>;
