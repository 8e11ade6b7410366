/**
 * Where a WebSocket comes from: the platform's, or the optional package `ws` where Node has none.
 *
 * @module
 */

import { BannouError } from "./errors.js";

/**
 * What this client uses of a WebSocket: browsers', Node's and that of `ws` all have it.
 *
 * @typedef {object} Socket
 * @property {number} readyState
 * @property {number} bufferedAmount
 * @property {string} protocol
 * @property {string} binaryType
 * @property {((event: any) => void) | null} onopen
 * @property {((event: any) => void) | null} onmessage
 * @property {((event: any) => void) | null} onclose
 * @property {((event: any) => void) | null} onerror
 * @property {(data: any) => void} send
 * @property {(code?: number, reason?: string) => void} close
 * @property {() => void} [terminate]  only `ws` has it
 */

/** @typedef {new (url: string, protocols: string[], options?: any) => Socket} SocketConstructor */

/**
 * @param {SocketConstructor} [given]  the caller's, taken as it is
 * @returns {Promise<SocketConstructor>}
 * @throws {BannouError} when there is none
 */
export async function findWebSocket(given) {
  if (given) return given;
  const global = /** @type {any} */ (globalThis).WebSocket;
  if (global) return global;
  // A name in a variable, so that neither bundlers nor tsc look for a package that browsers never need.
  const name = "ws";
  try {
    const module = await import(/* @vite-ignore */ /* webpackIgnore: true */ name);
    return module.WebSocket ?? module.default;
  } catch (cause) {
    throw new BannouError("this Node has no WebSocket: install the package `ws`, or pass the option WebSocket", { cause });
  }
}

/**
 * @param {string} url  `ws:`, `wss:`, `http:`, `https:`, or relative to the page
 * @returns {string}
 */
export function socketUrl(url) {
  const base = /** @type {any} */ (globalThis).location?.href;
  const absolute = new URL(url, base);
  if (absolute.protocol === "http:") absolute.protocol = "ws:";
  if (absolute.protocol === "https:") absolute.protocol = "wss:";
  absolute.hash = "";
  return absolute.href;
}
