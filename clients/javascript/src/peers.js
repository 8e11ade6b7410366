/**
 * The clients that this one may talk to.
 *
 * @module
 */

import { Body } from "./payload.js";

/** More peers than this are not kept. */
export const MAX_PEERS = 4096;

/**
 * @typedef {object} PeerTransport  how a peer's frames leave
 * @property {(peer: Peer, payload: import("./payload.js").Payload, options?: import("./options.js").CallOptions) => Promise<import("./payload.js").Answer>} request
 * @property {(peer: Peer, payload: import("./payload.js").Payload, options?: import("./options.js").CallOptions) => import("./stream.js").AnswerStream} stream
 * @property {(peer: Peer, payload: import("./payload.js").Payload) => void} send
 */

/** A one-way message of a peer. */
export class PeerMessage extends Body {
  /**
   * @param {Peer} peer
   * @param {Uint8Array} bytes
   */
  constructor(peer, bytes) {
    super(bytes);
    this.peer = peer;
  }
}

/** Another client. Its label is the service's choice and may come again; this object is one stay of it. */
export class Peer {
  /** @type {((message: PeerMessage) => void) | undefined} Called with each of its one-way messages. */
  onMessage;
  /** @type {import("./inbound.js").Handler | undefined} Answers its requests, before the client's `answerPeers`. */
  onRequest;
  /** It may not be talked to any more. */
  gone = false;

  /**
   * @param {string} label
   * @param {{ handle: string, session_id?: string, service?: string, endpoint?: string }} about
   * @param {PeerTransport} transport
   */
  constructor(label, about, transport) {
    this.label = label;
    this.handle = about.handle.toLowerCase();
    this.sessionId = about.session_id;
    this.service = about.service;
    this.endpoint = about.endpoint;
    this.transport = transport;
  }

  /**
   * Asks it and waits for its answer.
   *
   * @param {import("./payload.js").Payload} payload
   * @param {import("./options.js").CallOptions} [options]
   */
  request(payload, options) {
    return this.transport.request(this, payload, options);
  }

  /**
   * Asks it for an answer in parts.
   *
   * @param {import("./payload.js").Payload} payload
   * @param {import("./options.js").CallOptions} [options]
   */
  stream(payload, options) {
    return this.transport.stream(this, payload, options);
  }

  /**
   * Tells it something: at most once, no answer, no error.
   *
   * @param {import("./payload.js").Payload} payload
   */
  send(payload) {
    this.transport.send(this, payload);
  }
}

/**
 * @typedef {object} PeersChange
 * @property {Peer[]} added
 * @property {Peer[]} removed
 */

/** Peers by label and by handle. */
export class Peers {
  /** @type {Map<string, Peer>} */
  byLabel = new Map();
  /** @type {Map<string, Peer>} */
  byHandle = new Map();

  /** @param {PeerTransport} transport */
  constructor(transport) {
    this.transport = transport;
  }

  /**
   * @param {{ added?: Record<string, any>, removed?: string[] }} message  of type `peers`
   * @param {boolean} whole  it names all there are: who is not in it is gone
   * @returns {PeersChange}
   */
  apply({ added = {}, removed = [] }, whole = false) {
    /** @type {PeersChange} */
    const change = { added: [], removed: [] };
    const leaving = whole ? [...this.byLabel.keys()].filter((label) => !(label in added)) : removed;
    for (const label of leaving) this.#remove(label, change);
    for (const [label, about] of Object.entries(added)) {
      if (typeof about?.handle !== "string") continue;
      if (this.byLabel.get(label)?.handle === about.handle.toLowerCase()) continue;
      this.#remove(label, change);
      if (this.byLabel.size >= MAX_PEERS) continue;
      const peer = new Peer(label, about, this.transport);
      this.byLabel.set(label, peer);
      this.byHandle.set(peer.handle, peer);
      change.added.push(peer);
    }
    return change;
  }

  /** @returns {PeersChange}  everybody is gone: the session is another */
  clear() {
    return this.apply({}, true);
  }

  /**
   * @param {string} label
   * @param {PeersChange} change
   */
  #remove(label, change) {
    const peer = this.byLabel.get(label);
    if (!peer) return;
    this.byLabel.delete(label);
    if (this.byHandle.get(peer.handle) === peer) this.byHandle.delete(peer.handle);
    peer.gone = true;
    change.removed.push(peer);
  }
}
