// A gateway's Pod that is told to end: it takes as long as it must and no longer, and its sidecar outlives it. With 200 clients under load throughout.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { WebSocket } from "ws";
import { busiest, connections, crowd, everyCallHasEnded, fault, gatewayOf, pods, statusOf, url } from "../support.js";
import { SYSTEM, kubectl, until } from "../kubernetes.js";

/** By so much two times in whole seconds may be closer, or further apart, than they were. */
const ROUNDING = 1;

/** What a Pod's grace period is made of, in seconds, by what the Pod itself says. */
function partsOf(pod) {
  const gateway = pod.spec.containers.find(({ name }) => name === "gateway");
  const preStop = gateway.lifecycle.preStop.sleep.seconds;
  const drain = Number(gateway.args.find((arg) => arg.startsWith("--drain-seconds=")).split("=")[1]);
  const sidecar = Number(pod.metadata.annotations["dapr.io/graceful-shutdown-seconds"]);
  return { preStop, drain, sidecar, farewell: pod.spec.terminationGracePeriodSeconds - preStop - drain - sidecar };
}

/** Deletes a Pod and watches its end. Times are the cluster's own, in whole seconds. @returns {Promise<{gateway: number, sidecar: number}>} seconds from the deletion to the end of each */
async function end(pod) {
  const { name, namespace } = pod.metadata;
  const watch = spawn(process.env.BANNOU_KUBECTL ?? "kubectl", ["-n", namespace, "get", "pod", name, "--watch", "-o", "json"], { stdio: ["ignore", "pipe", "inherit"] });
  try {
    let read = "";
    let began;
    const ended = new Promise((resolve) => {
      watch.stdout.on("data", (data) => {
        // Each object ends with the brace that begins a line.
        const parts = (read += data).split(/^}$/m);
        read = parts.pop();
        for (const part of parts) {
          const now = JSON.parse(`${part}}`);
          const { deletionTimestamp, deletionGracePeriodSeconds } = now.metadata;
          // The first word of it: the kubelet's own, at the end, leaves no grace.
          if (deletionTimestamp) began ??= Date.parse(deletionTimestamp) - deletionGracePeriodSeconds * 1000;
          const [gateway, sidecar] = ["gateway", "daprd"].map((each) => statusOf(now, each)?.state.terminated?.finishedAt);
          if (gateway && sidecar) resolve({ gateway, sidecar });
        }
      });
    });
    await once(watch.stdout, "data");
    await kubectl("-n", namespace, "delete", "pod", name);
    const gone = new Promise((_, reject) => setTimeout(reject, 5_000, new Error("the Pod is gone, and its containers' end was not told")).unref());
    const times = await Promise.race([ended, gone]);
    return Object.fromEntries(Object.entries(times).map(([each, at]) => [each, (Date.parse(at) - began) / 1000]));
  } finally {
    watch.kill();
  }
}

const gatewaysAre = async (count) => {
  await kubectl("-n", SYSTEM, "scale", "deploy/bannou-gateway", `--replicas=${count}`);
  await kubectl("-n", SYSTEM, "rollout", "status", "deploy/bannou-gateway", "--timeout=120s");
  await until("the others have left", async () => (await pods("gateway")).length === count, 120_000);
};

fault("a gateway without clients ends at once", {}, async () => {
  const count = (await pods("gateway")).length;
  // A new one: those who are connected stay where they are.
  await gatewaysAre(count + 1);
  const [name] = (await connections()).find(([, total]) => total === 0);
  const pod = (await pods("gateway")).find(({ metadata }) => metadata.name === name);
  const parts = partsOf(pod);
  const took = await end(pod);
  await gatewaysAre(count);
  assert.ok(took.gateway >= parts.preStop - ROUNDING, `not before load balancers had their ${parts.preStop} s: ${took.gateway} s`);
  assert.ok(took.gateway <= parts.preStop + 2 + ROUNDING, `no drain of ${parts.drain} s for nobody: ${took.gateway} s`);
  assert.ok(took.sidecar >= took.gateway, `the sidecar ended ${took.sidecar - took.gateway} s later`);
  return { took, parts };
});

fault("a gateway that ends waits for open calls, and its sidecar for it", {}, async () => {
  const pod = await busiest();
  const parts = partsOf(pod);
  // Made when the gateway has begun to leave, and answered shortly before its time is over.
  const ms = (parts.drain - 1) * 1000;
  const calls = [];
  const call = (client) => calls.push(client.call("echo.slow", JSON.stringify({ ms })).then((answer) => answer.json().waited_ms, String));
  const listening = crowd.members.map(({ client }) => client.on("going_away", () => call(client)));
  const took = await end(pod);
  for (const stop of listening) stop();
  const answers = await Promise.all(calls);
  assert.ok(calls.length > 0, "somebody was at the gateway");
  assert.deepEqual(new Set(answers), new Set([ms]), `of ${calls.length} calls`);
  assert.ok(took.gateway >= parts.preStop + ms / 1000 - ROUNDING, `it waited for them: ${took.gateway} s`);
  assert.ok(took.gateway <= parts.preStop + parts.drain + parts.farewell + ROUNDING, `and no longer than it may: ${took.gateway} s`);
  assert.ok(took.sidecar >= took.gateway, `the sidecar ended ${took.sidecar - took.gateway} s later`);
  return { took, parts, calls: calls.length };
});

fault("a gateway does not wait for clients that do not leave", {}, async () => {
  // They hear that it goes away, and neither go nor read on.
  const stubborn = await Promise.all(Array.from({ length: 4 }, async () => {
    const socket = new WebSocket(url, ["bannou.v1"]);
    const [first] = await once(socket, "message");
    socket.on("message", () => socket.pause());
    socket.on("error", () => {});
    return { socket, id: JSON.parse(first).client_id };
  }));
  try {
    const name = await gatewayOf(stubborn[0].id);
    const pod = (await pods("gateway")).find(({ metadata }) => metadata.name === name);
    const parts = partsOf(pod);
    const took = await end(pod);
    assert.ok(took.gateway >= parts.preStop + parts.drain - ROUNDING, `they had their time: ${took.gateway} s`);
    assert.ok(took.gateway <= parts.preStop + parts.drain + parts.farewell + ROUNDING, `and no more: ${took.gateway} s`);
    assert.ok(took.sidecar >= took.gateway, `the sidecar ended ${took.sidecar - took.gateway} s later`);
    return { took, parts };
  } finally {
    for (const { socket } of stubborn) socket.terminate();
  }
});

everyCallHasEnded();
