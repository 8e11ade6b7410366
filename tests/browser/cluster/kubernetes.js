// What the tests on a cluster ask it with: the real kubectl, helm and `kubectl bannou`, on the cluster that KUBECONFIG names.
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { promisify } from "node:util";

const run = promisify(execFile);
const LIMIT = { maxBuffer: 32 * 1024 * 1024, timeout: 180_000 };

/** @returns {Promise<string>} what it prints; fails with what it says on standard error */
async function program(path, args, input) {
  const running = run(path, args, LIMIT);
  if (input !== undefined) running.child.stdin.end(input);
  return (await running).stdout;
}

export const kubectl = (...args) => program(process.env.BANNOU_KUBECTL ?? "kubectl", args);
export const helm = (...args) => program(process.env.BANNOU_HELM ?? "helm", args);
export const apply = (yaml) => program(process.env.BANNOU_KUBECTL ?? "kubectl", ["apply", "-f", "-"], yaml);
export const getJson = async (...args) => JSON.parse(await kubectl("get", ...args, "-o", "json"));

/** `kubectl bannou …`: @returns {Promise<{code: number, stdout: string, stderr: string}>} */
export async function bannou(...args) {
  try {
    return { code: 0, ...(await run(process.env.BANNOU_BIN, args, LIMIT)) };
  } catch (error) {
    if (typeof error.code !== "number") throw error;
    return error;
  }
}

/** Forwards a free port of this machine to one of a Pod. @returns {Promise<{port: number, close: () => void}>} */
export async function forward(namespace, target, port) {
  const child = spawn(process.env.BANNOU_KUBECTL ?? "kubectl", ["-n", namespace, "port-forward", target, `:${port}`], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  process.once("exit", () => child.kill());
  for await (const line of createInterface(child.stdout)) {
    const found = /127\.0\.0\.1:(\d+)/.exec(line);
    if (found) return { port: Number(found[1]), close: () => child.kill() };
  }
  const [code] = await once(child, "exit");
  throw new Error(`kubectl port-forward ${target} ended with ${code}`);
}

/** Waits until `look` gives something true; it is asked again and again, since what is waited for has no event of its own. */
export async function until(what, look, within = 60_000) {
  const end = Date.now() + within;
  for (;;) {
    const found = await look();
    if (found) return found;
    if (Date.now() > end) throw new Error(`${what}: not within ${within / 1000} s`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}
