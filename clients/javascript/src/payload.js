/**
 * What goes into a frame and what comes out of one.
 *
 * @module
 */

/**
 * Bytes go as they are, a string as UTF-8, nothing as an empty payload, anything else as JSON.
 *
 * @typedef {Uint8Array | ArrayBuffer | ArrayBufferView | string | object | number | boolean | null | undefined} Payload
 */

const encoder = new TextEncoder();

/**
 * @param {Payload} payload
 * @returns {Uint8Array}
 */
export function toBytes(payload) {
  if (payload === undefined || payload === null) return new Uint8Array(0);
  if (typeof payload === "string") return encoder.encode(payload);
  if (payload instanceof Uint8Array) return payload;
  if (payload instanceof ArrayBuffer) return new Uint8Array(payload);
  if (ArrayBuffer.isView(payload)) return new Uint8Array(payload.buffer, payload.byteOffset, payload.byteLength);
  return encoder.encode(JSON.stringify(payload));
}

/**
 * @param {Uint8Array[]} parts
 * @returns {Uint8Array}
 */
export function concat(parts) {
  if (parts.length === 1) return /** @type {Uint8Array} */ (parts[0]);
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.byteLength, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.byteLength;
  }
  return whole;
}

/** Bytes with the readings people want of them. */
export class Body {
  /** @param {Uint8Array} bytes */
  constructor(bytes) {
    /** The payload as it came. */
    this.bytes = bytes;
  }

  /** The payload as UTF-8 text. */
  text() {
    return new TextDecoder().decode(this.bytes);
  }

  /**
   * The payload as JSON.
   * @returns {any}
   * @throws {SyntaxError} when it is not JSON
   */
  json() {
    return JSON.parse(this.text());
  }
}

/** The answer to a call, or one part of a streamed one. */
export class Answer extends Body {
  /**
   * @param {Uint8Array} bytes
   * @param {object} about
   * @param {bigint} about.number  the exchange number
   * @param {number} about.latencyMs  from the request to this frame
   * @param {number} [about.parts]  how many frames it took
   */
  constructor(bytes, { number, latencyMs, parts = 1 }) {
    super(bytes);
    this.number = number;
    this.latencyMs = latencyMs;
    this.parts = parts;
  }
}
