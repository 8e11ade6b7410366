/**
 * The clients that this one may talk to.
 *
 * @module
 */
import { Body } from "./payload.js";
/** More peers than this are not kept. */
export declare const MAX_PEERS = 4096;
export type PeerTransport = {
    request: (peer: Peer, payload: import("./payload.js").Payload, options?: import("./options.js").CallOptions) => Promise<import("./payload.js").Answer>;
    stream: (peer: Peer, payload: import("./payload.js").Payload, options?: import("./options.js").CallOptions) => import("./stream.js").AnswerStream;
    send: (peer: Peer, payload: import("./payload.js").Payload) => void;
};
/**
 * @typedef {object} PeerTransport  how a peer's frames leave
 * @property {(peer: Peer, payload: import("./payload.js").Payload, options?: import("./options.js").CallOptions) => Promise<import("./payload.js").Answer>} request
 * @property {(peer: Peer, payload: import("./payload.js").Payload, options?: import("./options.js").CallOptions) => import("./stream.js").AnswerStream} stream
 * @property {(peer: Peer, payload: import("./payload.js").Payload) => void} send
 */
/** A one-way message of a peer. */
export declare class PeerMessage extends Body {
    peer: Peer;
    /**
     * @param {Peer} peer
     * @param {Uint8Array} bytes
     */
    constructor(peer: Peer, bytes: Uint8Array);
}
/** Another client. Its label is the service's choice and may come again; this object is one stay of it. */
export declare class Peer {
    label: string;
    handle: string;
    sessionId: string | undefined;
    service: string | undefined;
    endpoint: string | undefined;
    transport: PeerTransport;
    /** @type {((message: PeerMessage) => void) | undefined} Called with each of its one-way messages. */
    onMessage: ((message: PeerMessage) => void) | undefined;
    /** @type {import("./inbound.js").Handler | undefined} Answers its requests, before the client's `answerPeers`. */
    onRequest: import("./inbound.js").Handler | undefined;
    /** It may not be talked to any more. */
    gone: boolean;
    /**
     * @param {string} label
     * @param {{ handle: string, session_id?: string, service?: string, endpoint?: string }} about
     * @param {PeerTransport} transport
     */
    constructor(label: string, about: {
        handle: string;
        session_id?: string;
        service?: string;
        endpoint?: string;
    }, transport: PeerTransport);
    /**
     * Asks it and waits for its answer.
     *
     * @param {import("./payload.js").Payload} payload
     * @param {import("./options.js").CallOptions} [options]
     */
    request(payload: import("./payload.js").Payload, options?: import("./options.js").CallOptions): Promise<import("./payload.js").Answer>;
    /**
     * Asks it for an answer in parts.
     *
     * @param {import("./payload.js").Payload} payload
     * @param {import("./options.js").CallOptions} [options]
     */
    stream(payload: import("./payload.js").Payload, options?: import("./options.js").CallOptions): import("./stream.js").AnswerStream;
    /**
     * Tells it something: at most once, no answer, no error.
     *
     * @param {import("./payload.js").Payload} payload
     */
    send(payload: import("./payload.js").Payload): void;
}
export type PeersChange = {
    added: Peer[];
    removed: Peer[];
};
/**
 * @typedef {object} PeersChange
 * @property {Peer[]} added
 * @property {Peer[]} removed
 */
/** Peers by label and by handle. */
export declare class Peers {
    #private;
    transport: PeerTransport;
    /** @type {Map<string, Peer>} */
    byLabel: Map<string, Peer>;
    /** @type {Map<string, Peer>} */
    byHandle: Map<string, Peer>;
    /** @param {PeerTransport} transport */
    constructor(transport: PeerTransport);
    /**
     * @param {{ added?: Record<string, any>, removed?: string[] }} message  of type `peers`
     * @param {boolean} whole  it names all there are: who is not in it is gone
     * @returns {PeersChange}
     */
    apply({ added, removed }: {
        added?: Record<string, any>;
        removed?: string[];
    }, whole?: boolean): PeersChange;
    /** @returns {PeersChange}  everybody is gone: the session is another */
    clear(): PeersChange;
}
