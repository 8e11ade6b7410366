/**
 * The 24-byte header of `bannou.v1` and the error payload, as pure functions.
 *
 * ```text
 * offset 0               16        17          24
 *        | handle         | flags   | number    | payload …
 *          16 bytes         1 byte    7 bytes, big-endian
 * ```
 *
 * @module
 */

import { ProtocolError } from "./errors.js";

/** Bytes before the payload of every binary frame. */
export const HEADER_BYTES = 24;

/** The flags of a Message ID, as bits of its high byte. */
export const Flag = Object.freeze({
  /** The other side started this exchange. */
  INBOUND: 0x80,
  /** The exchange failed: the payload is a status, then an optional body. */
  ERROR: 0x40,
  /** More frames of this answer follow. */
  MORE: 0x20,
  /** No answer is wanted. */
  ONE_WAY: 0x10,
  /** The number is a position in a log. Set by the gateway alone. */
  LOGGED: 0x08,
});

/** The largest exchange number: 56 bits. */
export const MAX_NUMBER = (1n << 56n) - 1n;

const OFFSET_BITS = 48n;
const EMPTY = new Uint8Array(0);

/**
 * A binary frame taken apart.
 *
 * @typedef {object} Frame
 * @property {string} handle  the other party, as a lower-case UUID
 * @property {number} flags  the high byte of the Message ID, see {@link Flag}
 * @property {bigint} number  the exchange number, 56 bits
 * @property {Uint8Array} payload  what follows the header (a view, not a copy)
 */

const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"));

/**
 * The UUID form of a handle.
 *
 * @param {Uint8Array} bytes  at least 16 bytes from `offset` on
 * @param {number} [offset]
 * @returns {string}
 */
export function handleFromBytes(bytes, offset = 0) {
  let text = "";
  for (let index = 0; index < 16; index++) {
    if (index === 4 || index === 6 || index === 8 || index === 10) text += "-";
    text += HEX[/** @type {number} */ (bytes[offset + index])];
  }
  return text;
}

/**
 * The 16 bytes of a handle.
 *
 * @param {string} handle  a UUID of any version, with or without hyphens
 * @param {Uint8Array} [into]  written from `offset` on, a new array unless given
 * @param {number} [offset]
 * @returns {Uint8Array}
 * @throws {ProtocolError} when it is not a UUID
 */
export function handleToBytes(handle, into = new Uint8Array(16), offset = 0) {
  const digits = handle.replaceAll("-", "");
  if (!/^[0-9a-fA-F]{32}$/.test(digits)) throw new ProtocolError(`not a handle: ${handle.slice(0, 64)}`);
  for (let index = 0; index < 16; index++) {
    into[offset + index] = Number.parseInt(digits.slice(2 * index, 2 * index + 2), 16);
  }
  return into;
}

/**
 * Header and payload as one message, ready to be sent.
 *
 * @param {string} handle
 * @param {number} flags
 * @param {bigint | number} number  0 to {@link MAX_NUMBER}
 * @param {Uint8Array} [payload]
 * @returns {Uint8Array<ArrayBuffer>}
 * @throws {ProtocolError} when handle, flags or number do not fit
 */
export function encodeFrame(handle, flags, number, payload = EMPTY) {
  const wide = BigInt(number);
  if (wide < 0n || wide > MAX_NUMBER) throw new ProtocolError(`exchange number out of range: ${wide}`);
  if (!Number.isInteger(flags) || flags < 0 || flags > 0xff) throw new ProtocolError(`flags out of range: ${flags}`);
  const bytes = new Uint8Array(HEADER_BYTES + payload.byteLength);
  handleToBytes(handle, bytes, 0);
  new DataView(bytes.buffer).setBigUint64(16, (BigInt(flags) << 56n) | wide);
  bytes.set(payload, HEADER_BYTES);
  return bytes;
}

/**
 * @param {Uint8Array} bytes  a whole binary message
 * @returns {Frame}
 * @throws {ProtocolError} when it is shorter than a header
 */
export function decodeFrame(bytes) {
  if (bytes.byteLength < HEADER_BYTES) {
    throw new ProtocolError(`a binary frame of ${bytes.byteLength} bytes has no room for a header`);
  }
  const id = new DataView(bytes.buffer, bytes.byteOffset + 16, 8).getBigUint64(0);
  return {
    handle: handleFromBytes(bytes),
    flags: Number(id >> 56n),
    number: id & MAX_NUMBER,
    payload: bytes.subarray(HEADER_BYTES),
  };
}

/**
 * The payload of a frame with `ERROR`.
 *
 * @param {number} status  an HTTP status
 * @param {Uint8Array} [body]
 * @returns {Uint8Array}
 */
export function encodeError(status, body = EMPTY) {
  const bytes = new Uint8Array(2 + body.byteLength);
  new DataView(bytes.buffer).setUint16(0, status);
  bytes.set(body, 2);
  return bytes;
}

/**
 * @param {Uint8Array} payload  of a frame with `ERROR`
 * @returns {{ status: number, body: Uint8Array }}  status 0 when the payload has no room for one
 */
export function decodeError(payload) {
  if (payload.byteLength < 2) return { status: 0, body: EMPTY };
  const status = new DataView(payload.buffer, payload.byteOffset, 2).getUint16(0);
  return { status, body: payload.subarray(2) };
}

/**
 * The names of the flags that are set, highest bit first.
 *
 * @param {number} flags
 * @returns {string[]}
 */
export function flagNames(flags) {
  const names = Object.entries(Flag)
    .filter(([, bit]) => flags & bit)
    .map(([name]) => name);
  if (flags & 0x07) names.push(`RESERVED(${flags & 0x07})`);
  return names;
}

/**
 * A `LOGGED` number as a position in a log.
 *
 * @param {bigint} number
 * @returns {{ tag: number, offset: bigint }}  tag 0 is the log that all gateways share
 */
export function logPosition(number) {
  return { tag: Number(number >> OFFSET_BITS), offset: number & ((1n << OFFSET_BITS) - 1n) };
}
