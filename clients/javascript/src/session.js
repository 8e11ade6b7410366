/**
 * What a client knows of its session: the set of names, the log cursors, the way back.
 *
 * @module
 */

import { MAX_NUMBER, logPosition } from "./header.js";

/** More names than this are not kept. */
const MAX_NAMES = 65_536;

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
export class Session {
  /** @type {string | undefined} */
  clientId;
  /** @type {string | undefined} */
  sessionId;
  revision = 0;
  /** @type {string | undefined} */
  set;
  /** @type {Record<string, any>} */
  limits = {};
  /** Seconds between the gateway's pings; 0 when it did not say. */
  pingS = 0;
  /** @type {Map<string, string>} */
  services = new Map();
  /** @type {Map<string, string>} */
  events = new Map();
  /** @type {Map<string, string>} */
  eventByHandle = new Map();
  /** @type {Map<string, string>} */
  serviceByHandle = new Map();
  /** @type {{ token: string, windowS: number } | undefined} */
  resume;
  /** @type {bigint | undefined} Highest number of the logs of this session's homes. */
  cursor;
  /** @type {bigint | undefined} Highest number of the log that all gateways share. */
  groupCursor;
  /** The last exchange number. It only grows, across sessions too: a number never comes twice in one. */
  #number = 0n;

  /** @returns {bigint}  a number that was never used */
  nextNumber() {
    if (this.#number >= MAX_NUMBER) throw new RangeError("the exchange numbers are used up");
    return ++this.#number;
  }

  /**
   * @param {Record<string, any>} message  `service_discovery`: a session begins
   */
  discover(message) {
    this.#begin(message);
    this.cursor = undefined;
    this.groupCursor = undefined;
    this.resume = undefined;
    this.#setNames(message.services, message.events);
    this.takeResume(message.resume);
  }

  /**
   * @param {Record<string, any>} message  `resumed`: the session goes on; names are absent when the set still holds
   */
  continue(message) {
    this.#begin(message);
    if (message.services) this.#setNames(message.services, message.events);
    this.takeResume(message.resume);
  }

  /** @param {Record<string, any>} message */
  #begin(message) {
    this.clientId = message.client_id;
    this.sessionId = message.session_id;
    this.revision = message.revision ?? 0;
    this.set = message.set;
    this.limits = message.limits ?? this.limits;
    this.pingS = typeof message.ping_s === "number" ? message.ping_s : this.pingS;
  }

  /**
   * @param {Record<string, string>} services
   * @param {Record<string, string>} events
   */
  #setNames(services, events) {
    this.services.clear();
    this.events.clear();
    this.serviceByHandle.clear();
    this.eventByHandle.clear();
    add(services, this.services, this.serviceByHandle);
    add(events, this.events, this.eventByHandle);
  }

  /**
   * @param {Record<string, any>} message  `service_update`
   * @returns {Update | undefined}  nothing when it is older than what is known
   */
  update(message) {
    if (message.revision < this.revision) return undefined;
    this.revision = message.revision ?? this.revision;
    this.set = message.set ?? this.set;
    const removed = remove(message.removed, this.services, this.serviceByHandle);
    const eventsRemoved = remove(message.events_removed, this.events, this.eventByHandle);
    return {
      revision: this.revision,
      added: add(message.added, this.services, this.serviceByHandle),
      removed,
      eventsAdded: add(message.events_added, this.events, this.eventByHandle),
      eventsRemoved,
      reason: message.reason,
    };
  }

  /** @param {any} resume  `{token, window_s}` of a discovery */
  takeResume(resume) {
    if (typeof resume?.token === "string") {
      this.resume = { token: resume.token, windowS: Number(resume.window_s ?? this.resume?.windowS ?? 0) };
    }
  }

  /** @param {Record<string, any>} message  `resume`: a fresh token, with the positions it holds */
  renew(message) {
    this.takeResume(message);
    const cursor = position(message.cursor);
    const groupCursor = position(message.group_cursor);
    if (cursor !== undefined && (this.cursor === undefined || cursor > this.cursor)) this.cursor = cursor;
    if (groupCursor !== undefined && (this.groupCursor === undefined || groupCursor > this.groupCursor)) {
      this.groupCursor = groupCursor;
    }
  }

  /** @param {Record<string, any>} message  `gap`: its cursors count, downwards too */
  gap(message) {
    this.cursor = position(message.cursor) ?? this.cursor;
    this.groupCursor = position(message.group_cursor) ?? this.groupCursor;
  }

  /**
   * @param {bigint} number  of a `LOGGED` frame without `ERROR`
   * @returns {boolean}  it is new; otherwise it is to be dropped
   */
  admit(number) {
    if (logPosition(number).tag === 0) {
      if (this.groupCursor !== undefined && number <= this.groupCursor) return false;
      this.groupCursor = number;
    } else {
      if (this.cursor !== undefined && number <= this.cursor) return false;
      this.cursor = number;
    }
    return true;
  }

  /**
   * @param {boolean} resumed
   * @returns {Discovery}
   */
  describe(resumed) {
    return {
      clientId: this.clientId ?? "",
      sessionId: this.sessionId ?? "",
      revision: this.revision,
      services: this.services,
      events: this.events,
      limits: this.limits,
      resumed,
    };
  }
}

/**
 * @param {any} value  a log position: a decimal string
 * @returns {bigint | undefined}
 */
export function position(value) {
  if (typeof value === "string" && /^\d{1,20}$/.test(value)) return BigInt(value);
  return Number.isSafeInteger(value) && value >= 0 ? BigInt(value) : undefined;
}

/**
 * @param {Record<string, string> | undefined} names
 * @param {Map<string, string>} byName
 * @param {Map<string, string>} byHandle
 * @returns {Map<string, string>}  what was new
 */
function add(names, byName, byHandle) {
  const added = new Map();
  for (const [name, text] of Object.entries(names ?? {})) {
    if (typeof text !== "string" || (byName.size >= MAX_NAMES && !byName.has(name))) continue;
    const handle = text.toLowerCase();
    byName.set(name, handle);
    byHandle.set(handle, name);
    added.set(name, handle);
  }
  return added;
}

/**
 * @param {string[] | undefined} names
 * @param {Map<string, string>} byName
 * @param {Map<string, string>} byHandle
 * @returns {string[]}  what was there
 */
function remove(names, byName, byHandle) {
  return (names ?? []).filter((name) => {
    const handle = byName.get(name);
    if (handle !== undefined) byHandle.delete(handle);
    return byName.delete(name);
  });
}
