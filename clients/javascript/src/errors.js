/**
 * Everything this client throws, one class per reason a caller may want to tell apart.
 *
 * @module
 */

/** The base of all errors of this client. */
export class BannouError extends Error {
  /**
   * @param {string} message
   * @param {{ cause?: unknown }} [options]
   */
  constructor(message, options) {
    super(message, options);
    this.name = new.target.name;
  }
}

/**
 * Problem JSON (RFC 9457) as the gateway writes it. `instance` names the event in the gateway's log.
 *
 * @typedef {object} Problem
 * @property {number} status
 * @property {string} title
 * @property {string} [type]
 * @property {string} [detail]
 * @property {string} [instance]
 * @property {number} [retry_after_ms]
 */

/** The other party, or the gateway in its place, answered with an error. */
export class CallError extends BannouError {
  /**
   * @param {string} target  what was called: a name, or a peer's label
   * @param {number} status  HTTP's
   * @param {Uint8Array} body  what came with it, unread
   */
  constructor(target, status, body = new Uint8Array(0)) {
    const problem = readProblem(status, body);
    super(`${target} answered ${status}${problem ? `: ${problem.detail ?? problem.title}` : ""}`);
    /** What was called. */
    this.target = target;
    /** HTTP's status. */
    this.status = status;
    /** The body as it came. */
    this.body = body;
    /** @type {Problem | undefined} The body, when it is problem JSON. */
    this.problem = problem;
  }

  /** How long to wait before another try, in milliseconds, where the gateway said so. */
  get retryAfterMs() {
    const value = this.problem?.retry_after_ms;
    return typeof value === "number" ? value : undefined;
  }

  /** The body as text. */
  text() {
    return new TextDecoder().decode(this.body);
  }

  /**
   * The body as JSON.
   * @returns {any}
   * @throws {SyntaxError} when it is not JSON
   */
  json() {
    return JSON.parse(this.text());
  }
}

/** The gateway refused a control message. */
export class ControlError extends BannouError {
  /**
   * @param {string} type  of the message that was refused
   * @param {{ status?: number, title?: string, detail?: string }} answer
   */
  constructor(type, answer) {
    super(`${type} was refused with ${answer.status ?? "no status"}: ${answer.detail ?? answer.title ?? "no reason given"}`);
    /** HTTP's status, 0 when there was none. */
    this.status = answer.status ?? 0;
    this.title = answer.title ?? "";
    this.detail = answer.detail ?? "";
  }
}

/** The caller's own deadline passed. A cancel is on its way; whether the work was done is unknown. */
export class TimeoutError extends BannouError {
  /**
   * @param {string} target
   * @param {number} timeoutMs
   */
  constructor(target, timeoutMs) {
    super(`no answer from ${target} within ${timeoutMs} ms`);
    this.target = target;
    this.timeoutMs = timeoutMs;
  }
}

/** The caller cancelled, or, for a handler of this client, does not wait any more. */
export class CancelledError extends BannouError {
  /**
   * @param {string} target
   * @param {object} [end]
   * @param {boolean} [end.confirmed]  the other side said 499: it will not answer any more
   * @param {import("./payload.js").Answer} [end.answer]  the answer, when it had left before the cancel arrived
   * @param {unknown} [end.reason]  of the signal
   * @param {number} [end.status]  of a request of others: 499 cancelled, 408 too late, 404 gone or already answered
   */
  constructor(target, { confirmed = false, answer, reason, status = 499 } = {}) {
    super(status === 499 ? `the call of ${target} was cancelled` : `the call of ${target} is over (${status})`, { cause: reason });
    this.target = target;
    this.status = status;
    this.confirmed = confirmed;
    this.answer = answer;
  }
}

/** The connection is not there, or went away while an answer was awaited. */
export class ClosedError extends BannouError {
  /**
   * @param {string} message
   * @param {object} [about]
   * @param {number} [about.code]  the close code
   * @param {boolean} [about.inDoubt]  the request had left, so it may have been carried out
   * @param {unknown} [about.cause]
   */
  constructor(message, { code, inDoubt = false, cause } = {}) {
    super(message, { cause });
    this.code = code;
    this.inDoubt = inDoubt;
  }
}

/** This client may not call that name, or it does not exist: the two look the same on purpose. */
export class UnavailableError extends BannouError {
  /** @param {string} target */
  constructor(target) {
    super(`${target} is not among the services that this client may call now`);
    this.target = target;
  }
}

/** A bound of this client was reached: too many exchanges, too much unread or unsent. */
export class LimitError extends BannouError {}

/** The other side, or the caller, broke the protocol. */
export class ProtocolError extends BannouError {}

/**
 * Thrown by an answering handler to answer with an error.
 *
 * @example throw new AnswerError(409, "that square is taken");
 */
export class AnswerError extends BannouError {
  /**
   * @param {number} status  HTTP's, 400 to 599
   * @param {import("./payload.js").Payload} [body]
   */
  constructor(status, body) {
    super(`answered with ${status}`);
    this.status = status;
    this.body = body;
  }
}

/**
 * @param {number} status
 * @param {Uint8Array} body
 * @returns {Problem | undefined}
 */
function readProblem(status, body) {
  if (body.byteLength < 2 || body.byteLength > 16384 || body[0] !== 0x7b) return undefined;
  try {
    const value = JSON.parse(new TextDecoder().decode(body));
    return value.status === status && typeof value.title === "string" ? value : undefined;
  } catch {
    return undefined;
  }
}
