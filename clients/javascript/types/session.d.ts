/**
 * What a client knows of its session: the set of names, the log cursors, the way back.
 *
 * @module
 */
export type Discovery = {
    clientId: string;
    sessionId: string;
    revision: number;
    /**
     * name → handle
     */
    services: ReadonlyMap<string, string>;
    events: ReadonlyMap<string, string>;
    /**
     * as the gateway said: `message_bytes`, `requests_per_second` …
     */
    limits: Record<string, any>;
    /**
     * the session is the old one
     */
    resumed: boolean;
};
export type Update = {
    revision: number;
    added: Map<string, string>;
    removed: string[];
    eventsAdded: Map<string, string>;
    eventsRemoved: string[];
    reason?: string;
};
/**
 * @typedef {object} Discovery
 * @property {string} clientId
 * @property {string} sessionId
 * @property {number} revision
 * @property {ReadonlyMap<string, string>} services  name → handle
 * @property {ReadonlyMap<string, string>} events
 * @property {Record<string, any>} limits  as the gateway said: `message_bytes`, `requests_per_second` …
 * @property {boolean} resumed  the session is the old one
 */
/**
 * @typedef {object} Update
 * @property {number} revision
 * @property {Map<string, string>} added
 * @property {string[]} removed
 * @property {Map<string, string>} eventsAdded
 * @property {string[]} eventsRemoved
 * @property {string} [reason]
 */
/** The state of one session; pure, without a socket. */
export declare class Session {
    #private;
    /** @type {string | undefined} */
    clientId: string | undefined;
    /** @type {string | undefined} */
    sessionId: string | undefined;
    revision: number;
    /** @type {string | undefined} */
    set: string | undefined;
    /** @type {Record<string, any>} */
    limits: Record<string, any>;
    /** Seconds between the gateway's pings; 0 when it did not say. */
    pingS: number;
    /** @type {Map<string, string>} */
    services: Map<string, string>;
    /** @type {Map<string, string>} */
    events: Map<string, string>;
    /** @type {Map<string, string>} */
    eventByHandle: Map<string, string>;
    /** @type {Map<string, string>} */
    serviceByHandle: Map<string, string>;
    /** @type {{ token: string, windowS: number } | undefined} */
    resume: {
        token: string;
        windowS: number;
    } | undefined;
    /** @type {bigint | undefined} Highest number of the logs of this session's homes. */
    cursor: bigint | undefined;
    /** @type {bigint | undefined} Highest number of the log that all gateways share. */
    groupCursor: bigint | undefined;
    /** @returns {bigint}  a number that was never used */
    nextNumber(): bigint;
    /**
     * @param {Record<string, any>} message  `service_discovery`: a session begins
     */
    discover(message: Record<string, any>): void;
    /**
     * @param {Record<string, any>} message  `resumed`: the session goes on; names are absent when the set still holds
     */
    continue(message: Record<string, any>): void;
    /**
     * @param {Record<string, any>} message  `service_update`
     * @returns {Update | undefined}  nothing when it is older than what is known
     */
    update(message: Record<string, any>): Update | undefined;
    /** @param {any} resume  `{token, window_s}` of a discovery */
    takeResume(resume: any): void;
    /** @param {Record<string, any>} message  `resume`: a fresh token, with the positions it holds */
    renew(message: Record<string, any>): void;
    /** @param {Record<string, any>} message  `gap`: its cursors count, downwards too */
    gap(message: Record<string, any>): void;
    /**
     * @param {bigint} number  of a `LOGGED` frame without `ERROR`
     * @returns {boolean}  it is new; otherwise it is to be dropped
     */
    admit(number: bigint): boolean;
    /**
     * @param {boolean} resumed
     * @returns {Discovery}
     */
    describe(resumed: boolean): Discovery;
}
/**
 * @param {any} value  a log position: a decimal string
 * @returns {bigint | undefined}
 */
export declare function position(value: any): bigint | undefined;
