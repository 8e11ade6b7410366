/**
 * Calls whose connection went away before their answer, and which may be made again because the endpoint is idempotent.
 *
 * @module
 */
import { ClosedError } from "./errors.js";
/** They keep their deadlines, and can be cancelled, while there is no connection. */
export declare class Orphans {
    #private;
    /** @param {Iterable<import("./exchange.js").Exchange>} exchanges  whose link is gone */
    take(exchanges: Iterable<import("./exchange.js").Exchange>): void;
    /**
     * Makes them again. A number that no answer came to is still free, also in a session that begins afresh; a repeat under the
     * same number in the same session carries the same idempotency key.
     *
     * @param {import("./exchange.js").Exchanges} exchanges  of a link with a session
     * @param {ReadonlyMap<string, string>} services  what may be called there: name → handle
     */
    give(exchanges: import("./exchange.js").Exchanges, services: ReadonlyMap<string, string>): void;
    /** @param {number} [code]  of the close: there will be no connection */
    failAll(code?: number): void;
}
/**
 * @param {import("./exchange.js").Exchange} exchange
 * @param {number} [code]  of the close
 * @returns {ClosedError}  it may have been carried out
 */
export declare function inDoubt({ request }: import("./exchange.js").Exchange, code?: number): ClosedError;
