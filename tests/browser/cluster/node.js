// Where the tests are, and the node of this machine, if it is this machine's own.
import { execFile } from "node:child_process";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

export const root = fileURLToPath(new URL("../../..", import.meta.url));
export const run = promisify(execFile);

export const ownNode = process.env.BANNOU_OWN_NODE === "1";
export const needsNode = { skip: ownNode ? false : "the node is not this machine's own: nothing of it can be reached from here" };
/** Runs a script of bash inside the node; only where the node is this machine's own. @returns {Promise<string>} what it prints */
export const inNode = async (script, env = {}) => (await run(join(root, "tests/node/in.sh"), ["bash", "-ec", script], { env: { ...process.env, ...env } })).stdout.trim();
