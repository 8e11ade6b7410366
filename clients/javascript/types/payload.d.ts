/**
 * What goes into a frame and what comes out of one.
 *
 * @module
 */
export type Payload = Uint8Array | ArrayBuffer | ArrayBufferView | string | object | number | boolean | null | undefined;
/**
 * @param {Payload} payload
 * @returns {Uint8Array}
 */
export declare function toBytes(payload: Payload): Uint8Array;
/**
 * @param {Uint8Array[]} parts
 * @returns {Uint8Array}
 */
export declare function concat(parts: Uint8Array[]): Uint8Array;
/** Bytes with the readings people want of them. */
export declare class Body {
    /** The payload as it came. */
    bytes: Uint8Array<ArrayBufferLike>;
    /** @param {Uint8Array} bytes */
    constructor(bytes: Uint8Array);
    /** The payload as UTF-8 text. */
    text(): string;
    /**
     * The payload as JSON.
     * @returns {any}
     * @throws {SyntaxError} when it is not JSON
     */
    json(): any;
}
/** The answer to a call, or one part of a streamed one. */
export declare class Answer extends Body {
    number: bigint;
    latencyMs: number;
    parts: number;
    /**
     * @param {Uint8Array} bytes
     * @param {object} about
     * @param {bigint} about.number  the exchange number
     * @param {number} about.latencyMs  from the request to this frame
     * @param {number} [about.parts]  how many frames it took
     */
    constructor(bytes: Uint8Array, { number, latencyMs, parts }: {
        number: bigint;
        latencyMs: number;
        parts?: number;
    });
}
