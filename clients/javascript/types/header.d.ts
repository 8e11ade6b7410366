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
/** Bytes before the payload of every binary frame. */
export declare const HEADER_BYTES = 24;
/** The flags of a Message ID, as bits of its high byte. */
export declare const Flag: Readonly<{
    /** The other side started this exchange. */
    INBOUND: 128;
    /** The exchange failed: the payload is a status, then an optional body. */
    ERROR: 64;
    /** More frames of this answer follow. */
    MORE: 32;
    /** No answer is wanted. */
    ONE_WAY: 16;
    /** The number is a position in a log. Set by the gateway alone. */
    LOGGED: 8;
}>;
/** The largest exchange number: 56 bits. */
export declare const MAX_NUMBER: bigint;
export type Frame = {
    /**
     * the other party, as a lower-case UUID
     */
    handle: string;
    /**
     * the high byte of the Message ID, see {@link Flag}
     */
    flags: number;
    /**
     * the exchange number, 56 bits
     */
    number: bigint;
    /**
     * what follows the header (a view, not a copy)
     */
    payload: Uint8Array;
};
/**
 * The UUID form of a handle.
 *
 * @param {Uint8Array} bytes  at least 16 bytes from `offset` on
 * @param {number} [offset]
 * @returns {string}
 */
export declare function handleFromBytes(bytes: Uint8Array, offset?: number): string;
/**
 * The 16 bytes of a handle.
 *
 * @param {string} handle  a UUID of any version, with or without hyphens
 * @param {Uint8Array} [into]  written from `offset` on, a new array unless given
 * @param {number} [offset]
 * @returns {Uint8Array}
 * @throws {ProtocolError} when it is not a UUID
 */
export declare function handleToBytes(handle: string, into?: Uint8Array, offset?: number): Uint8Array;
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
export declare function encodeFrame(handle: string, flags: number, number: bigint | number, payload?: Uint8Array): Uint8Array<ArrayBuffer>;
/**
 * @param {Uint8Array} bytes  a whole binary message
 * @returns {Frame}
 * @throws {ProtocolError} when it is shorter than a header
 */
export declare function decodeFrame(bytes: Uint8Array): Frame;
/**
 * The payload of a frame with `ERROR`.
 *
 * @param {number} status  an HTTP status
 * @param {Uint8Array} [body]
 * @returns {Uint8Array}
 */
export declare function encodeError(status: number, body?: Uint8Array): Uint8Array;
/**
 * @param {Uint8Array} payload  of a frame with `ERROR`
 * @returns {{ status: number, body: Uint8Array }}  status 0 when the payload has no room for one
 */
export declare function decodeError(payload: Uint8Array): {
    status: number;
    body: Uint8Array;
};
/**
 * The names of the flags that are set, highest bit first.
 *
 * @param {number} flags
 * @returns {string[]}
 */
export declare function flagNames(flags: number): string[];
/**
 * A `LOGGED` number as a position in a log.
 *
 * @param {bigint} number
 * @returns {{ tag: number, offset: bigint }}  tag 0 is the log that all gateways share
 */
export declare function logPosition(number: bigint): {
    tag: number;
    offset: bigint;
};
