// The figures of docs/operations.md, on the cluster of `make cluster`: `tests/node/test.sh cluster/figures.js`. It measures and asserts no time.
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { WebSocket } from "ws";
import { Client } from "../../../clients/javascript/src/index.js";
import { Crowd } from "./crowd.js";
import { SYSTEM, expose, kubectl, say, startSpeaker, until } from "./kubernetes.js";

const url = `ws://${process.env.BANNOU_NODE_ADDRESS}:30080/connect`;
const WINDOW_MS = 20_000;

/** Memory and CPU of the project's containers, as the kubelet counts them. */
async function usage() {
  const nodes = (await kubectl("get", "nodes", "-o", "name")).trim().split("\n").map((name) => name.replace("node/", ""));
  const found = new Map();
  for (const node of nodes) {
    const { pods } = JSON.parse(await kubectl("get", "--raw", `/api/v1/nodes/${node}/proxy/stats/summary`));
    for (const pod of pods.filter(({ podRef }) => podRef.namespace === SYSTEM)) {
      for (const container of pod.containers ?? []) {
        found.set(`${pod.podRef.name} ${container.name}`, { mib: container.memory.workingSetBytes / 2 ** 20, core_s: container.cpu.usageCoreNanoSeconds / 1e9, at: Date.parse(container.cpu.time) });
      }
    }
  }
  return found;
}

/** Over a window: a line for each container. */
async function window(what) {
  const began = await usage();
  await sleep(WINDOW_MS);
  // The kubelet looks every ten seconds or so: two looks with the same time tell nothing.
  const ended = await until("the kubelet has looked again", async () => {
    const now = await usage();
    return [...now].every(([name, { at }]) => at > (began.get(name)?.at ?? 0)) && now;
  });
  for (const [name, now] of ended) {
    const before = began.get(name);
    if (before) console.log(`${what}: ${name}: ${now.mib.toFixed(0)} MiB, ${((1000 * (now.core_s - before.core_s)) / ((now.at - before.at) / 1000)).toFixed(0)} millicores`);
  }
}

let crowd;
before(async () => {
  await startSpeaker();
  crowd = new Crowd(url, say);
});
after(async () => {
  await crowd.stop();
  await crowd.close();
});

test("memory and CPU, idle and with 200 clients that call twice a second", { timeout: 300_000 }, async () => {
  await window("idle");
  await crowd.start();
  await crowd.served();
  const before = crowd.summary().answered;
  await window("200 clients");
  console.log(`200 clients: ${crowd.summary().answered - before} calls answered meanwhile`);
});

test("from kubectl apply to a client that is told", { timeout: 120_000 }, async () => {
  for (let i = 0; i < 5; i++) {
    const name = `figures-${Date.now()}`;
    const told = new Promise((resolve) => crowd.members[0].client.on("update", ({ added }) => added.has(`${name}.call`) && resolve(Date.now())));
    const began = Date.now();
    await expose(name);
    const applied = Date.now();
    console.log(`apply: told ${(await told) - applied} ms after kubectl had ended, which took ${applied - began} ms`);
    await kubectl("delete", "sexp", name);
  }
});

/** Asks without a pause, and keeps the longest time between two answers. */
class Asking {
  longest = 0;
  refused = 0;
  #last = Date.now();
  #stopped = false;
  #loop;

  constructor() {
    this.client = new Client(url, { WebSocket, timeout: 20_000, connectTimeout: 60_000 });
  }

  async start() {
    await this.client.open();
    this.#last = Date.now();
    this.#loop = this.#ask();
  }

  async #ask() {
    while (!this.#stopped) {
      const good = await this.client.call("echo.bytes", "?", { idempotent: true }).then(() => true, () => false);
      if (good) {
        this.longest = Math.max(this.longest, Date.now() - this.#last);
        this.#last = Date.now();
      } else {
        this.refused++;
        await sleep(20);
      }
      await sleep(20);
    }
  }

  /** Until it has been answered after this moment. */
  answered = (since) => until("an answer", () => this.#last > since);

  async stop() {
    this.#stopped = true;
    await this.#loop;
    await this.client.close();
  }
}

test("from a Pod's end to clients served again", { timeout: 300_000 }, async () => {
  for (const [how, options] of [["nothing happens", undefined], ["deleted", []], ["killed without grace", ["--grace-period=0", "--force"]]]) {
    const asking = Array.from({ length: 50 }, () => new Asking());
    await Promise.all(asking.map((one) => one.start()));
    const gateways = async () => (await kubectl("-n", SYSTEM, "get", "pods", "-l", "app.kubernetes.io/component=gateway", "-o", "name")).trim().split("\n");
    const [pod] = await gateways();
    const began = Date.now();
    if (options) {
      await kubectl("-n", SYSTEM, "delete", pod, ...options);
      await until("it is gone", async () => !(await gateways()).includes(pod));
      await kubectl("-n", SYSTEM, "rollout", "status", "deploy/bannou-gateway", "--timeout=120s");
    } else {
      await sleep(5000);
    }
    const ended = Date.now();
    await Promise.all(asking.map((one) => one.answered(ended)));
    const longest = asking.map((one) => one.longest).sort((a, b) => a - b);
    console.log(`${how}: of 50 clients that ask all the time, the longest wait for an answer was ${longest.at(-1)} ms, the median client's ${longest[25]} ms; ${asking.reduce((sum, one) => sum + one.refused, 0)} calls were refused; whole again after ${ended - began} ms`);
    await Promise.all(asking.map((one) => one.stop()));
  }
});
