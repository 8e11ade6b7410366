// What the tests on a cluster ask it with: the real kubectl, helm and `kubectl bannou`, on the cluster that KUBECONFIG names.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { createInterface } from "node:readline";
import { run } from "./node.js";

/** Where the release is. */
export const SYSTEM = "bannou-system";
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
/** kubectl that reads `input` where an argument is "-". */
export const kubectlIn = (input, ...args) => program(process.env.BANNOU_KUBECTL ?? "kubectl", args, input);
/** kubectl as whoever the token is of, and as nobody else: the certificate of the kubeconfig would count more. */
export async function kubectlAs(token, input, ...args) {
  const { clusters } = JSON.parse(await kubectl("config", "view", "--raw", "--minify", "--flatten", "-o", "json"));
  const folder = mkdtempSync(join(tmpdir(), "bannou-token-"));
  try {
    const config = { apiVersion: "v1", kind: "Config", clusters, users: [{ name: "token", user: { token } }], contexts: [{ name: "token", context: { cluster: clusters[0].name, user: "token" } }], "current-context": "token" };
    writeFileSync(join(folder, "config"), JSON.stringify(config), { mode: 0o600 });
    return await kubectlIn(input, "--kubeconfig", join(folder, "config"), ...args);
  } finally {
    rmSync(folder, { recursive: true });
  }
}
/** Applies an exposure of the demo app echo, with one endpoint for everybody, in the place of any that was there. */
export const expose = (name, endpoint = "call", { serviceName = name, fleet = SYSTEM, idempotent = false } = {}) => apply(`
apiVersion: bannou.dev/v1alpha1
kind: ServiceExposure
metadata: {name: ${name}, namespace: default}
spec:
  serviceName: ${serviceName}
  backend: {dapr: {appId: echo}}
  fleetRef: {namespace: ${fleet}}
  endpoints: [{name: ${endpoint}, path: /bytes, tiers: [anonymous], idempotent: ${idempotent}}]
`);
export const getJson = async (...args) => JSON.parse(await kubectl("get", ...args, "-o", "json"));

let plugins;
/** `kubectl bannou …`: @returns {Promise<{code: number, stdout: string, stderr: string}>} */
export async function bannou(...args) {
  if (!plugins) {
    plugins = mkdtempSync(join(tmpdir(), "bannou-plugin-"));
    process.once("exit", () => rmSync(plugins, { recursive: true }));
    // kubectl finds its plugins by their names on the PATH.
    symlinkSync(process.env.BANNOU_BIN, join(plugins, "kubectl-bannou"));
  }
  try {
    return { code: 0, ...(await run(process.env.BANNOU_KUBECTL ?? "kubectl", ["bannou", ...args], { ...LIMIT, env: { ...process.env, PATH: `${plugins}${delimiter}${process.env.PATH}` } })) };
  } catch (error) {
    if (typeof error.code !== "number") throw error;
    return error;
  }
}

/** Starts what speaks through RabbitMQ, a Pod that knows nothing of gateways. It dials the broker by address, so that it speaks also while names are not resolved. */
export async function startSpeaker() {
  const { spec } = await getJson("service", "-n", "rabbitmq", "rabbitmq");
  await apply(readFileSync(new URL("../../node/speaker.yaml", import.meta.url), "utf8").replace("rabbitmq.rabbitmq.svc", spec.clusterIP));
  await kubectl("rollout", "status", "deploy/speaker", "--timeout=60s");
}

/** Gives the speaker an order (tests/services/speak.mjs). */
export async function say(order) {
  const response = await fetch(`http://${process.env.BANNOU_NODE_ADDRESS}:30082/`, { method: "POST", body: JSON.stringify(order), signal: AbortSignal.timeout(30_000) });
  return response.json();
}

/** Forwards a free port of this machine to one of a Pod. @returns {Promise<{port: number, close: () => void}>} */
export async function forward(namespace, target, port) {
  const child = spawn(process.env.BANNOU_KUBECTL ?? "kubectl", ["-n", namespace, "port-forward", target, `:${port}`], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const kill = () => void child.kill();
  process.once("exit", kill);
  child.once("exit", () => process.off("exit", kill));
  for await (const line of createInterface(child.stdout)) {
    const found = /127\.0\.0\.1:(\d+)/.exec(line);
    if (found) return { port: Number(found[1]), close: kill };
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
