// Starts the real `bannou dev examples/quickstart` on free ports, and ends it with the test.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../..", import.meta.url));
const START_MS = 60_000;
const STOP_MS = 15_000;
/** Kept of what it says, for when it fails. */
const KEPT_LINES = 200;

function binary() {
  const path = process.env.BANNOU_BIN ?? `${process.env.CARGO_TARGET_DIR ?? `${root}target`}/debug/bannou`;
  if (!existsSync(path)) throw new Error(`${path} is not there: run \`cargo build -p bannou-cli\`, or set BANNOU_BIN`);
  return path;
}

/** What services show at the internal port. */
const TOKEN = "the-token-of-the-tests";

/**
 * @typedef {object} Gateway
 * @property {string} url
 * @property {string} connectUrl
 * @property {(to: string, event: string, payload?: string | object, headers?: Record<string, string>) => Promise<Response>} send
 *   an event, as a service does: `to` is what follows `/v1/`, such as `all` or `clients/<client_id>`
 * @property {() => Promise<number | null>} stop
 * @property {() => string} output
 */

/**
 * @param {string[]} [more]  arguments after those every test uses
 * @returns {Promise<Gateway>}
 */
export async function startGateway(more = []) {
  const args = ["dev", "examples/quickstart", "--port", "0", "--admin-port", "0", "--internal-port", "0", "--internal-token", TOKEN, ...more];
  const child = spawn(binary(), args, { cwd: root, stdio: ["ignore", "pipe", "pipe"] });
  const lines = [];
  const keep = (line) => {
    lines.push(line);
    if (lines.length > KEPT_LINES) lines.shift();
  };
  // A test run that dies takes the gateway along.
  const kill = () => child.kill("SIGKILL");
  process.once("exit", kill);
  const ended = once(child, "exit").then(([code]) => {
    process.off("exit", kill);
    return code;
  });

  let url;
  let internal;
  const ready = new Promise((resolve, reject) => {
    createInterface({ input: child.stderr }).on("line", keep);
    createInterface({ input: child.stdout }).on("line", (line) => {
      keep(line);
      url ??= /^playground (http:\/\/\S+)/.exec(line)?.[1];
      internal ??= /(http:\/\/\S+)\/v1\//.exec(line)?.[1];
      if (url && internal) resolve(undefined);
    });
    child.once("error", reject);
    ended.then((code) => reject(new Error(`bannou ended with ${code} before it was ready:\n${lines.join("\n")}`)));
    const timer = setTimeout(() => reject(new Error(`bannou was not ready within ${START_MS} ms:\n${lines.join("\n")}`)), START_MS);
    ended.finally(() => clearTimeout(timer));
    timer.unref();
  });
  try {
    await ready;
  } catch (error) {
    kill();
    throw error;
  }

  return {
    url,
    connectUrl: new URL("/connect", url).href,
    output: () => lines.join("\n"),
    send: (to, event, payload = "", headers = {}) =>
      fetch(`${internal}/v1/${to}/events/${event}`, {
        method: "POST",
        headers: { authorization: `Bearer ${TOKEN}`, ...headers },
        body: typeof payload === "string" ? payload : JSON.stringify(payload),
      }),
    /** Asks it to end, as an operator would; insists when it does not. */
    async stop() {
      child.kill("SIGTERM");
      const timer = setTimeout(kill, STOP_MS);
      const code = await ended;
      clearTimeout(timer);
      return code;
    },
  };
}
