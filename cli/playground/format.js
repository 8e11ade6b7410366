// Bytes, numbers and times as people read them: pure functions.

const encoder = new TextEncoder();
const strictDecoder = new TextDecoder("utf-8", { fatal: true });

/**
 * What a person wrote as the bytes of a payload.
 *
 * @param {string} text
 * @param {"json" | "text" | "hex"} format
 * @returns {Uint8Array}
 * @throws {Error} that says what is wrong with it
 */
export function parsePayload(text, format) {
  if (format === "text") return encoder.encode(text);
  if (format === "hex") {
    const digits = text.replace(/0x/gi, "").replace(/[\s,:_-]/g, "");
    if (/[^0-9a-f]/i.test(digits)) throw new Error(`${digits.match(/[^0-9a-f]/i)[0]} is not a hexadecimal digit`);
    if (digits.length % 2) throw new Error("an odd number of digits: one byte has two");
    return Uint8Array.from(digits.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
  }
  if (text.trim() === "") return new Uint8Array(0);
  try {
    JSON.parse(text);
  } catch (error) {
    throw new Error(`not JSON: ${error.message}`);
  }
  return encoder.encode(text);
}

/** @param {Uint8Array} bytes */
export function hex(bytes) {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join(" ");
}

/**
 * The classic three columns: offset, bytes, text.
 *
 * @param {Uint8Array} bytes
 * @param {number} [max]  bytes shown
 */
export function hexDump(bytes, max = 4096) {
  const lines = [];
  for (let at = 0; at < Math.min(bytes.length, max); at += 16) {
    const row = bytes.subarray(at, Math.min(at + 16, bytes.length, max));
    const shown = Array.from(row, (byte) => (byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : "·")).join("");
    lines.push(`${at.toString(16).padStart(4, "0")}  ${hex(row).padEnd(47)}  ${shown}`);
  }
  if (bytes.length > max) lines.push(`… ${formatSize(bytes.length - max)} more`);
  return lines.join("\n");
}

/** @param {Uint8Array} bytes @returns {string | undefined}  undefined when it is not readable text */
export function asText(bytes) {
  try {
    const text = strictDecoder.decode(bytes);
    return /[\u0000-\u0008\u000e-\u001f]/.test(text) ? undefined : text;
  } catch {
    return undefined;
  }
}

/**
 * The most readable form of a payload.
 *
 * @param {Uint8Array} bytes
 * @returns {{ kind: "empty" | "json" | "text" | "hex", text: string }}
 */
export function pretty(bytes) {
  if (bytes.length === 0) return { kind: "empty", text: "" };
  const text = asText(bytes);
  if (text === undefined) return { kind: "hex", text: hexDump(bytes) };
  if (/^\s*[[{]/.test(text) && text.length < 262_144) {
    try {
      return { kind: "json", text: JSON.stringify(JSON.parse(text), null, 2) };
    } catch {
      // Not JSON after all.
    }
  }
  return { kind: "text", text };
}

/** @param {number} bytes */
export function formatSize(bytes) {
  if (bytes < 1024) return `${bytes} B`;
  if (bytes < 1024 * 1024) return `${(bytes / 1024).toFixed(1)} KiB`;
  return `${(bytes / 1024 / 1024).toFixed(1)} MiB`;
}

/** @param {number} ms */
export function formatMs(ms) {
  if (ms < 10) return `${ms.toFixed(1)} ms`;
  if (ms < 10_000) return `${Math.round(ms)} ms`;
  return `${(ms / 1000).toFixed(1)} s`;
}

/** @param {number} at  milliseconds since the epoch */
export function clockTime(at) {
  const time = new Date(at);
  const two = (value) => String(value).padStart(2, "0");
  return `${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())}.${String(time.getMilliseconds()).padStart(3, "0")}`;
}

const STATUS_NAMES = {
  400: "malformed",
  401: "unauthorized",
  403: "not permitted",
  404: "not found",
  408: "deadline passed",
  409: "conflict",
  413: "too large",
  418: "I'm a teapot",
  429: "rate limited",
  499: "cancelled",
  500: "internal error",
  501: "not implemented",
  502: "backend unreachable",
  503: "unavailable",
  504: "backend timed out",
};

/** @param {number} status */
export function statusName(status) {
  return STATUS_NAMES[status] ?? (status >= 500 ? "server error" : status >= 400 ? "error" : "");
}

/**
 * Control messages hold tokens; a log that is copied should not.
 *
 * @param {any} value  parsed JSON
 * @returns {any}
 */
export function withoutSecrets(value) {
  if (Array.isArray(value)) return value.map(withoutSecrets);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) =>
      key === "token" && typeof inner === "string"
        ? [key, `${inner.slice(0, 6)}… (${inner.length} characters)`]
        : [key, withoutSecrets(inner)],
    ),
  );
}
