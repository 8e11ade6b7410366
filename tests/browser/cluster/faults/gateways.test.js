// What ends gateways in real clusters, one after the other, with 200 clients under load throughout. Each fault is proven to have struck; then every call has ended,
// every confirmed push has arrived or its loss was told, and everybody is served.
import assert from "node:assert/strict";
import { join } from "node:path";
import { busiest, cgroup, connections, crowd, everyCallHasEnded, fault, pods, ready, restarts, statusOf, uids } from "../support.js";
import { SYSTEM, helm, kubectl, until } from "../kubernetes.js";
import { inNode, needsNode, root } from "../node.js";

fault("a gateway's Pod is deleted", {}, async () => {
  const pod = await busiest();
  const began = Date.now();
  await kubectl("-n", SYSTEM, "delete", "pod", pod.metadata.name);
  const took = Date.now() - began;
  const grace = pod.spec.terminationGracePeriodSeconds * 1000;
  assert.ok(took < grace, `it ended by itself within its grace period: ${took} of ${grace} ms`);
  return !(await uids("gateway")).has(pod.metadata.uid) && { ended_after_ms: took, grace_ms: grace };
});

fault("a gateway is killed for its memory", needsNode, async () => {
  const pod = await busiest();
  // Something in its cgroup takes all memory. The kubelet has put the gateway's score above it, so the gateway is what the kernel kills.
  await inNode(`
    echo $$ >"${cgroup(pod, "gateway")}/cgroup.procs"
    (head -c 1200m /dev/zero | tail -c 1200m >/dev/null) || true`).catch(() => {});
  const after = await until("the kubelet has seen it", async () => (await pods("gateway")).find((each) => each.metadata.uid === pod.metadata.uid && restarts(each, "gateway") > restarts(pod, "gateway")), 150_000);
  const state = statusOf(after, "gateway").lastState.terminated;
  return state.reason === "OOMKilled" && { reason: state.reason, exit: state.exitCode };
});

fault("the gateway's sidecar is killed", needsNode, async () => {
  const pod = await busiest();
  await inNode(`kill -9 $(cat "${cgroup(pod, "daprd")}/cgroup.procs")`);
  const found = await until("the kubelet has started it again", async () => (await pods("gateway")).find((each) => each.metadata.uid === pod.metadata.uid && restarts(each, "daprd") > restarts(pod, "daprd")));
  return { restarts: restarts(found, "daprd"), of: found.metadata.name };
});

fault("helm upgrade with a new image", needsNode, async () => {
  const before = await uids("gateway");
  for (const component of ["gateway", "operator"]) {
    const image = (await pods(component))[0].spec.containers.find((each) => each.name === component).image;
    await inNode(`ctr -a /run/containerd/containerd.sock -n k8s.io images tag --force ${image} ${image.replace(/:[^:]*$/, ":next")}`);
  }
  await helm("upgrade", "bannou", join(root, "charts/bannou"), "-n", SYSTEM, "--reuse-values", "--set", "gateway.image.tag=next,operator.image.tag=next");
  await ready();
  await until("the old ones have left", async () => [...(await uids("gateway"))].every((uid) => !before.has(uid)), 120_000);
  const now = await pods("gateway");
  return now.every((pod) => !before.has(pod.metadata.uid) && pod.spec.containers.some((each) => each.image.endsWith(":next"))) && { replaced: now.length };
});

fault("kubectl rollout restart", {}, async () => {
  const before = await uids("gateway");
  await kubectl("-n", SYSTEM, "rollout", "restart", "deploy/bannou-gateway");
  await ready();
  await until("the old ones have left", async () => [...(await uids("gateway"))].every((uid) => !before.has(uid)), 120_000);
  return { replaced: before.size };
});

// There is no metrics adapter here: the decision that an HPA would make is made by hand.
fault("the gateways are scaled up and down", {}, async () => {
  await kubectl("-n", SYSTEM, "scale", "deploy/bannou-gateway", "--replicas=4");
  await kubectl("-n", SYSTEM, "rollout", "status", "deploy/bannou-gateway", "--timeout=120s");
  const most = (await pods("gateway")).length;
  // Kubernetes would take the youngest, to which nobody has come yet.
  const leaving = (await connections()).sort(([, a], [, b]) => b - a).slice(0, 2);
  assert.ok(leaving[0][1] > 0, "clients are there");
  for (const [name] of leaving) await kubectl("-n", SYSTEM, "annotate", "pod", name, "controller.kubernetes.io/pod-deletion-cost=-100");
  const before = crowd.summary().fresh;
  await kubectl("-n", SYSTEM, "scale", "deploy/bannou-gateway", "--replicas=2");
  await until("two have left", async () => (await pods("gateway")).length === 2, 120_000);
  const left = new Set((await pods("gateway")).map(({ metadata }) => metadata.name));
  await crowd.served();
  const moved = crowd.summary().fresh - before;
  assert.ok(moved >= leaving[0][1], `${moved} clients have moved, of ${JSON.stringify(leaving)}`);
  return most === 4 && leaving.every(([name]) => !left.has(name)) && { from: most, to: 2, moved };
});

everyCallHasEnded();
