/**
 * The first connection, as something to wait for.
 *
 * @module
 */
/**
 * Opens a client and waits for the gateway's first word.
 *
 * @template {import("./client.js").Client} C
 * @param {C} client
 * @param {object} by
 * @param {() => void} by.open
 * @param {AbortSignal} [by.signal]  closes the client
 * @param {import("./exchange.js").Clock} by.clock
 * @param {number} by.timeoutMs
 * @returns {Promise<C>}
 */
export declare function opened<C extends import("./client.js").Client>(client: C, { open, signal, clock, timeoutMs }: {
    open: () => void;
    signal?: AbortSignal;
    clock: import("./exchange.js").Clock;
    timeoutMs: number;
}): Promise<C>;
