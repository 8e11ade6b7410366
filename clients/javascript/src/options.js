/**
 * What an application passes to a client, and what a client tells it.
 *
 * @module
 */

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
 * @property {boolean} [idempotent]  make the call again when the connection breaks before an answer; otherwise it fails as in doubt,
 *   unless `describe` said that the endpoint is idempotent
 * @property {boolean} [raw]  the promise gives the bare bytes
 */

/**
 * Beside these, each `<service>.<event>` is one: what a service tells (a `Push`) or asks (an `InboundRequest`).
 *
 * @typedef {ClientNews & { [event: `${string}.${string}`]: import("./inbound.js").InboundRequest }} ClientEvents
 */

/**
 * @typedef {object} ClientNews
 * @property {import("./keeper.js").StateChange} state
 * @property {import("./session.js").Discovery} discovery  a session began or was resumed
 * @property {import("./session.js").Update} update  the set of names changed
 * @property {import("./peers.js").PeersChange} peers
 * @property {import("./peers.js").PeerMessage} message  a one-way message of a peer
 * @property {import("./inbound.js").Push} push  a one-way message of a service, whatever its event
 * @property {{ token: string, expiresInS?: number }} token  a login service gave this client a token; it is remembered
 * @property {{ expiresInS?: number }} token_expiring
 * @property {import("./reconnect.js").Closing} closing
 * @property {{ afterMs: number, reason?: string }} going_away
 * @property {Record<string, any>} gap  messages that can no longer be delivered
 * @property {Record<string, any>} refused  an `error` that answers no message of this client by `id`
 * @property {{ type: string, [field: string]: any }} control  every control message of the gateway, after it took effect
 * @property {import("./link.js").Tap} frame  every frame in both directions
 */

/** @type {import("./exchange.js").Clock} */
export const systemClock = {
  now: () => performance.now(),
  setTimeout: (run, ms) => setTimeout(run, ms),
  clearTimeout: (timer) => clearTimeout(timer),
};
