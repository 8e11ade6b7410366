/**
 * The control messages: JSON text frames with a `type`, and the `id`s that pair a message with its `ok` or `error`.
 *
 * @module
 */
/** The largest control message that a gateway takes, in bytes. */
export declare const MAX_CONTROL_BYTES: number;
/**
 * @param {string} text
 * @returns {{ type: string, [field: string]: any }}
 * @throws {ProtocolError} when it is not an object with a `type`
 */
export declare function parseControl(text: string): {
    type: string;
    [field: string]: any;
};
/** The control messages of one connection that wait for their answer. */
export declare class Controls {
    #private;
    send: (text: string) => void;
    clock: import("./exchange.js").Clock;
    max: number;
    /**
     * @param {object} by
     * @param {(text: string) => void} by.send  throws when it cannot
     * @param {import("./exchange.js").Clock} by.clock
     * @param {number} by.max  messages at once
     */
    constructor({ send, clock, max }: {
        send: (text: string) => void;
        clock: import("./exchange.js").Clock;
        max: number;
    });
    /**
     * @param {{ type: string, [field: string]: any }} message  without `id`
     * @param {number} timeoutMs
     * @returns {Promise<{ type: "ok", [field: string]: any }>}
     */
    ask(message: {
        type: string;
        [field: string]: any;
    }, timeoutMs: number): Promise<{
        type: "ok";
        [field: string]: any;
    }>;
    /**
     * @param {Record<string, any>} message  `ok` or `error`
     * @returns {boolean}  whether somebody waited for it
     */
    receive(message: Record<string, any>): boolean;
    /** @param {number} [code]  of the close */
    endAll(code?: number): void;
}
/**
 * @param {{ type: string, [field: string]: any }} message
 * @returns {string}
 * @throws {LimitError} when the gateway would close the connection over its size
 */
export declare function encodeControl(message: {
    type: string;
    [field: string]: any;
}): string;
