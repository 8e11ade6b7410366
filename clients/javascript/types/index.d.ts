/**
 * `@bannou/client`: a client for the Bannou gateway, for browsers and Node.
 *
 * @module
 */
export { Client, connect } from "./client.js";
export { AnswerError, BannouError, CallError, CancelledError, ClosedError, ControlError, LimitError, ProtocolError, TimeoutError, UnavailableError, } from "./errors.js";
export { Flag, HEADER_BYTES, MAX_NUMBER, decodeError, decodeFrame, encodeError, encodeFrame, flagNames, handleFromBytes, handleToBytes, logPosition, } from "./header.js";
export { InboundRequest, Push } from "./inbound.js";
export { Answer, Body } from "./payload.js";
export { Peer, PeerMessage } from "./peers.js";
export { AnswerStream } from "./stream.js";
export type ClientOptions = import("./options.js").ClientOptions;
export type CallOptions = import("./options.js").CallOptions;
export type ClientEvents = import("./options.js").ClientEvents;
export type Handler = import("./inbound.js").Handler;
export type Payload = import("./payload.js").Payload;
/** @typedef {import("./options.js").ClientOptions} ClientOptions */
/** @typedef {import("./options.js").CallOptions} CallOptions */
/** @typedef {import("./options.js").ClientEvents} ClientEvents */
/** @typedef {import("./inbound.js").Handler} Handler */
/** @typedef {import("./payload.js").Payload} Payload */
