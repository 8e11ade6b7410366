// Fails when the committed `types/` are not those of `src/`.
import { mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { emitTypes } from "./emit-types.js";

const committed = fileURLToPath(new URL("../types", import.meta.url));
const fresh = mkdtempSync(join(tmpdir(), "bannou-types-"));
try {
  emitTypes(fresh);
  const names = new Set([...list(committed), ...list(fresh)]);
  const stale = [...names].filter((name) => read(committed, name) !== read(fresh, name));
  if (stale.length > 0) {
    console.error(`types/ is stale (${stale.join(", ")}): run \`npm run types\` and commit what it writes`);
    process.exitCode = 1;
  }
} finally {
  rmSync(fresh, { recursive: true, force: true });
}

/** @param {string} folder */
function list(folder) {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

/** @param {string} folder @param {string} name */
function read(folder, name) {
  try {
    return readFileSync(join(folder, name), "utf8");
  } catch {
    return undefined;
  }
}
