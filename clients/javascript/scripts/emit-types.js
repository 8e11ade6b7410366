// Writes `types/` from the JSDoc of `src/`.
import { execFileSync } from "node:child_process";
import { rmSync } from "node:fs";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));

/** @param {string} outDir  emptied first */
export function emitTypes(outDir) {
  rmSync(outDir, { recursive: true, force: true });
  const tsc = fileURLToPath(new URL("../node_modules/typescript/bin/tsc", import.meta.url));
  execFileSync(process.execPath, [tsc, "-p", root, "--outDir", outDir], { stdio: "inherit" });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) emitTypes(`${root}types`);
