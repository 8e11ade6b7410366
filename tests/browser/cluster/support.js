// What the tests of faults share: a crowd under load, and what is true after each fault. One crowd for each file; its faults come one after the other.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Crowd } from "./crowd.js";
import { SYSTEM, bannou, expose, getJson, kubectl, say, startSpeaker, until } from "./kubernetes.js";
import { inNode, root } from "./node.js";

export const url = `ws://${process.env.BANNOU_NODE_ADDRESS}:30080/connect`;

/** @type {Crowd} */
export let crowd;

before(async () => {
  await startSpeaker();
  await ready();
  crowd = new Crowd(url, say);
  await crowd.start();
  await crowd.served();
});

after(async () => {
  await crowd?.stop();
  await crowd?.close();
});

export const pods = async (component, namespace = SYSTEM) => (await getJson("pods", "-n", namespace, "-l", `app.kubernetes.io/component=${component}`)).items;
export const uids = async (component) => new Set((await pods(component)).map((pod) => pod.metadata.uid));
/** Of a container or a sidecar, in the status of its Pod. */
export const statusOf = (pod, name) => [...(pod.status.containerStatuses ?? []), ...(pod.status.initContainerStatuses ?? [])].find((each) => each.name === name);
/** The folder of a container's cgroup, on the node. */
export const cgroup = (pod, name) => {
  const id = statusOf(pod, name).containerID.replace("containerd://", "");
  return `$(find /sys/fs/cgroup/memory/kubepods* /sys/fs/cgroup/kubepods* -type d -name ${id} 2>/dev/null | head -n 1)`;
};
export const restarts = (pod, name) => statusOf(pod, name)?.restartCount ?? 0;

const asked = async (...args) => {
  const { code, stdout, stderr } = await bannou(...args, "-o", "json");
  // 1: something needs attention, which it says.
  assert.ok(code <= 1, stderr);
  return JSON.parse(stdout);
};
/** @returns {Promise<[string, number][]>} the Pod of each gateway of the system's namespace, and how many clients it has */
export async function connections() {
  const gateways = await asked("conns", "--limit", "1", "-n", SYSTEM);
  return gateways.map(({ gateway, total }) => [gateway.replace(`${SYSTEM}/`, ""), total]);
}
/** @returns {Promise<string | undefined>} the Pod of the gateway that a client is connected to */
export async function gatewayOf(clientId) {
  const found = (await asked("conns", "--client", clientId)).find(({ connections }) => connections.length > 0);
  return found?.gateway.replace(`${SYSTEM}/`, "");
}
/** The gateway that a fault would hurt most: after some faults all clients are at one. */
export async function busiest() {
  const [[name]] = (await connections()).sort(([, a], [, b]) => b - a);
  return (await pods("gateway")).find(({ metadata }) => metadata.name === name);
}

/** @returns {Promise<boolean>} whether each gateway of the system's namespace hears the operator */
export async function allLinked() {
  const { gateways } = await asked("status", "-n", SYSTEM);
  return gateways.length > 0 && gateways.every(({ operator }) => operator?.linked);
}

/** Everything of the project's is as it should be. */
export async function ready() {
  for (const name of ["bannou-operator", "bannou-gateway"]) await kubectl("-n", SYSTEM, "rollout", "status", `deploy/${name}`, "--timeout=150s");
  await kubectl("rollout", "status", "deploy/echo", "--timeout=60s");
}

/** Exposes something new, and takes it away again. @returns {Promise<number>} milliseconds from the end of `kubectl apply` until clients of every gateway are told */
export async function toldOfANewExposure() {
  const name = `faults-${Date.now()}`;
  const told = crowd.members.map(({ client }) => client.once("update", { accept: ({ added }) => added.has(`${name}.call`) }));
  await expose(name, "call");
  const applied = Date.now();
  await Promise.all(told);
  const last = Date.now();
  await kubectl("delete", "sexp", name);
  return last - applied;
}

/** Kills the kubelet and starts it again. @returns {Promise<string[]>} its process before and after */
export async function restartKubelet() {
  const state = process.env.BANNOU_NODE_STATE;
  const before = await inNode(`cat ${state}/run/kubelet.pid`);
  await inNode(`kill -9 ${before}; export BANNOU_NODE_STATE=${state}; NODE_PARTS=${process.env.BANNOU_NODE_PARTS} ${root}tests/node/kubelet.sh`);
  const now = await inNode(`cat ${state}/run/kubelet.pid`);
  const began = new Date().toISOString();
  await until("it reports again", async () => (await getJson("lease", "-n", "kube-node-lease", "node")).spec.renewTime > began);
  return [before, now];
}

/** A fault and what is true after it. `strike` resolves to what proves that it struck. */
export function fault(name, options, strike) {
  test(name, { timeout: 300_000, ...options }, async () => {
    const before = crowd.summary();
    const began = Date.now();
    const proof = await strike();
    assert.ok(proof, "the fault has struck");
    await ready();
    const took = await crowd.served();
    // What was confirmed last may be on its way.
    const lost = await until("what was confirmed has arrived", () => crowd.missing().length === 0, 20_000).then(() => [], () => crowd.missing());
    const now = crowd.summary();
    const refused = Object.fromEntries(Object.entries(now.refused).map(([why, count]) => [why, count - (before.refused[why] ?? 0)]).filter(([, count]) => count > 0));
    const more = Object.fromEntries(["answered", "doubtful", "confirmed", "gaps", "fresh"].map((key) => [key, now[key] - before[key]]));
    console.log(`${name}: ${JSON.stringify({ proof, whole_ms: Date.now() - began, last_served_ms: took, refused, ...more })}`);
    assert.deepEqual(lost, [], "confirmed pushes that neither arrived nor were told as lost");
    assert.deepEqual(crowd.strange(), []);
    assert.ok(more.answered > 100 && more.confirmed > 10, "the crowd was at work");
    assert.ok(crowd.members.every((member) => member.client.state === "open"), "everybody is connected");
  });
}

/** The last test of a file: whatever struck, each call has come to an end. */
export function everyCallHasEnded() {
  test("every call has ended: with an answer, with a refusal, or in doubt", { timeout: 60_000 }, async () => {
    await crowd.stop();
    const { asked, unsettled, unlike, pushes, ...rest } = crowd.summary();
    console.log(`in all: ${JSON.stringify({ asked, ...rest, pushes })}`);
    assert.ok(asked > 0);
    assert.deepEqual({ unsettled, unlike }, { unsettled: 0, unlike: 0 });
    assert.deepEqual(crowd.missing(), []);
    assert.deepEqual(crowd.strange(), []);
  });
}
