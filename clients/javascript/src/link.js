/**
 * One socket: frames in and out, the exchanges and control messages that live and die with it.
 *
 * @module
 */

import { Controls, encodeControl, parseControl } from "./control.js";
import { ClosedError, LimitError, ProtocolError } from "./errors.js";
import { Exchanges } from "./exchange.js";
import { decodeFrame, encodeFrame } from "./header.js";

/** Close codes of our own: browsers may send 1000 and 3000 to 4999 only. */
const CLOSE_PROTOCOL = 3002;
/** The protocol's own code for a connection that nothing was heard on. */
const CLOSE_LOST = 4408;

const OPEN = 1;

/**
 * One frame as it passed the socket, for logs and tools.
 *
 * @typedef {object} Tap
 * @property {"in" | "out"} direction
 * @property {number} at  milliseconds since the epoch
 * @property {string} [text]  of a control message
 * @property {Uint8Array} [bytes]  of a data frame, its 24 header bytes included
 * @property {import("./header.js").Frame} [frame]  the same taken apart
 */

/**
 * @typedef {object} LinkHooks
 * @property {(link: Link) => void} opened
 * @property {(link: Link, message: { type: string, [field: string]: any }) => void} control
 * @property {(link: Link, frame: import("./header.js").Frame) => void} frame
 * @property {(link: Link, code: number, reason: string) => void} gone  exactly once
 * @property {(exchanges: import("./exchange.js").Exchange[]) => void} [orphans]  calls that may be made again elsewhere
 * @property {((tap: Tap) => void) | undefined} [tap]
 */

/** A connection to one gateway. */
export class Link {
  /** @type {import("./reconnect.js").Closing | undefined} What the gateway said before it closed. */
  closing;
  /** It asked for a resume. */
  resuming = false;
  /** @type {string | undefined} Of the session that it has, once it has one. */
  sessionId;
  #gone = false;

  /**
   * @param {import("./socket.js").Socket} socket  not yet open
   * @param {object} by
   * @param {import("./exchange.js").Clock} by.clock
   * @param {{ maxInFlight: number, maxControls: number, maxBuffered: number }} by.limits
   * @param {LinkHooks} by.hooks
   */
  constructor(socket, { clock, limits, hooks }) {
    this.socket = socket;
    this.clock = clock;
    this.limits = limits;
    this.hooks = hooks;
    this.heardAt = clock.now();
    this.controls = new Controls({ send: (text) => this.sendText(text), clock, max: limits.maxControls });
    this.exchanges = new Exchanges({
      send: (handle, flags, number, payload) => this.sendFrame(handle, flags, number, payload),
      clock,
      max: limits.maxInFlight,
    });
    socket.binaryType = "arraybuffer";
    socket.onopen = () => {
      if (socket.protocol === "bannou.v1") hooks.opened(this);
      else this.#break(`the server speaks ${socket.protocol || "no subprotocol"}, not bannou.v1`);
    };
    socket.onmessage = (event) => this.#receive(event.data);
    socket.onclose = (event) => this.#end(event.code ?? 1006, String(event.reason ?? ""));
    // What went wrong is not told to pages; the close that follows is what counts.
    socket.onerror = () => {};
  }

  /** @param {any} data */
  #receive(data) {
    this.heardAt = this.clock.now();
    try {
      if (typeof data === "string") {
        this.hooks.tap?.({ direction: "in", at: Date.now(), text: data });
        this.hooks.control(this, parseControl(data));
      } else {
        const bytes = data instanceof Uint8Array ? data : new Uint8Array(data);
        const frame = decodeFrame(bytes);
        this.hooks.tap?.({ direction: "in", at: Date.now(), bytes, frame });
        this.hooks.frame(this, frame);
      }
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.#break(error.message);
    }
  }

  /** @param {string} why */
  #break(why) {
    console.error(`bannou: ${why}`);
    this.close(CLOSE_PROTOCOL, "protocol error");
  }

  #check() {
    if (this.#gone || this.socket.readyState !== OPEN) throw new ClosedError("not connected");
    if (this.socket.bufferedAmount > this.limits.maxBuffered) {
      throw new LimitError(`${this.socket.bufferedAmount} bytes wait to be sent already`);
    }
  }

  /** @param {{ type: string, [field: string]: any }} message */
  sendControl(message) {
    this.sendText(encodeControl(message));
  }

  /** @param {string} text */
  sendText(text) {
    this.#check();
    this.socket.send(text);
    this.hooks.tap?.({ direction: "out", at: Date.now(), text });
  }

  /**
   * @param {string} handle
   * @param {number} flags
   * @param {bigint} number
   * @param {Uint8Array} payload
   */
  sendFrame(handle, flags, number, payload) {
    this.#check();
    const bytes = encodeFrame(handle, flags, number, payload);
    this.socket.send(bytes);
    this.hooks.tap?.({ direction: "out", at: Date.now(), bytes, frame: { handle, flags, number, payload } });
  }

  /**
   * Begins the close handshake; the end comes when the server has answered it.
   *
   * @param {number} [code]
   * @param {string} [reason]
   */
  close(code = 1000, reason = "") {
    try {
      this.socket.close(code, reason);
    } catch {
      // A socket that never opened ends by its own error.
    }
  }

  /**
   * Gives the socket up at once: nobody answers there.
   *
   * @param {number} code
   * @param {string} reason
   */
  drop(code, reason) {
    this.socket.onopen = this.socket.onmessage = this.socket.onclose = null;
    // Should it arrive after all: a gateway that was told 1000 keeps no session for who comes back.
    this.close(code === 1000 ? 1000 : CLOSE_LOST, reason);
    this.socket.terminate?.();
    this.#end(code, reason);
  }

  /**
   * @param {number} code
   * @param {string} reason
   */
  #end(code, reason) {
    if (this.#gone) return;
    this.#gone = true;
    this.controls.endAll(code);
    this.hooks.gone(this, code, reason);
    // After `gone`, which may have ended the client for good, or found that another link is there already.
    this.exchanges.endAll(code, this.hooks.orphans);
  }
}
