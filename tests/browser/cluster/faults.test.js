// What breaks in real clusters, one after the other, with 200 clients under load throughout. Each fault is proven to have struck; then every call has ended, every
// confirmed push has arrived or its loss was told, and everybody is served.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { join } from "node:path";
import { Crowd } from "./crowd.js";
import { apply, forward, getJson, helm, kubectl, until } from "./kubernetes.js";

const root = fileURLToPath(new URL("../../..", import.meta.url));
const SYSTEM = "bannou-system";
const url = `ws://${process.env.BANNOU_NODE_ADDRESS}:30080/connect`;
const run = promisify(execFile);
/** Runs something inside the node; only where the node is this machine's own. */
const inNode = async (script) => (await run(join(root, "tests/node/in.sh"), ["bash", "-ec", script])).stdout.trim();
const ownNode = process.env.BANNOU_OWN_NODE === "1";
const needsNode = { skip: ownNode ? false : "the node is not this machine's own: nothing of it can be killed from here" };

let speaker;
let crowd;

before(async () => {
  await kubectl("apply", "-f", join(root, "tests/node/speaker.yaml"));
  await kubectl("rollout", "status", "deploy/speaker", "--timeout=60s");
  await ready();
  await reconnect();
  crowd = new Crowd(url, say);
  await crowd.start();
  await crowd.served();
});

after(async () => {
  await crowd?.stop();
  await crowd?.close();
  speaker?.close();
});

/** A forward ends with what it goes through: the API server, the Pod. */
async function reconnect() {
  speaker?.close();
  // A kubelet that has just started does not know its Pods yet.
  speaker = await until("the speaker can be reached", () => forward("default", "deploy/speaker", 7000).catch(() => undefined));
}

async function say(order) {
  const response = await fetch(`http://127.0.0.1:${speaker.port}/`, { method: "POST", body: JSON.stringify(order), signal: AbortSignal.timeout(30_000) });
  return response.json();
}

const pods = async (component) => (await getJson("pods", "-n", SYSTEM, "-l", `app.kubernetes.io/component=${component}`)).items;
const uids = async (component) => new Set((await pods(component)).map((pod) => pod.metadata.uid));
const restarts = (pod, name) => [...(pod.status.containerStatuses ?? []), ...(pod.status.initContainerStatuses ?? [])].find((each) => each.name === name)?.restartCount ?? 0;

/** Everything of the project's is as it should be. */
async function ready() {
  for (const name of ["bannou-operator", "bannou-gateway"]) await kubectl("-n", SYSTEM, "rollout", "status", `deploy/${name}`, "--timeout=150s");
  await kubectl("rollout", "status", "deploy/echo", "--timeout=60s");
}

/** A fault and what is true after it. `strike` resolves to what proves that it struck. */
function fault(name, options, strike) {
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
    console.log(`${name}: ${JSON.stringify({ proof, whole_ms: Date.now() - began, last_served_ms: took, answered: now.answered - before.answered, refused, confirmed: now.confirmed - before.confirmed, gaps: now.gaps - before.gaps, fresh: now.fresh - before.fresh })}`);
    assert.deepEqual(lost, [], "confirmed pushes that neither arrived nor were told as lost");
    assert.equal(now.wrong, 0, "answers that belong to another call");
    assert.ok(now.answered > before.answered && now.confirmed > before.confirmed, "the crowd was at work");
    assert.ok(crowd.members.every((member) => member.client.state === "open"), "everybody is connected");
  });
}

fault("a gateway's Pod is deleted", {}, async () => {
  const [pod] = await pods("gateway");
  const began = Date.now();
  await kubectl("-n", SYSTEM, "delete", "pod", pod.metadata.name);
  const took = Date.now() - began;
  const grace = pod.spec.terminationGracePeriodSeconds * 1000;
  assert.ok(took < grace, `it ended by itself within its grace period: ${took} of ${grace} ms`);
  return !(await uids("gateway")).has(pod.metadata.uid) && { ended_after_ms: took, grace_ms: grace };
});

fault("a gateway is killed for its memory", needsNode, async () => {
  const [pod] = await pods("gateway");
  const id = pod.status.containerStatuses.find((each) => each.name === "gateway").containerID.replace("containerd://", "");
  // Something in its cgroup takes all memory. The kubelet has put the gateway's score above it, so the gateway is what the kernel kills.
  await inNode(`
    group=$(find /sys/fs/cgroup/memory/kubepods* -type d -name ${id})
    echo $$ >"$group/cgroup.procs"
    (head -c 1200m /dev/zero | tail -c 1200m >/dev/null) || true`).catch(() => {});
  const after = await until("the kubelet has seen it", async () => (await pods("gateway")).find((each) => each.metadata.uid === pod.metadata.uid && restarts(each, "gateway") > restarts(pod, "gateway")), 150_000);
  const state = after.status.containerStatuses.find((each) => each.name === "gateway").lastState.terminated;
  return state.reason === "OOMKilled" && { reason: state.reason, exit: state.exitCode };
});

fault("the kubelet is restarted", needsNode, async () => {
  const state = process.env.BANNOU_NODE_STATE;
  const before = await inNode(`cat ${state}/run/kubelet.pid`);
  await inNode(`kill -9 ${before}; export BANNOU_NODE_STATE=${state}; NODE_PARTS=${process.env.BANNOU_NODE_PARTS} ${root}tests/node/kubelet.sh`);
  const now = await inNode(`cat ${state}/run/kubelet.pid`);
  const began = new Date().toISOString();
  await until("it reports again", async () => (await getJson("lease", "-n", "kube-node-lease", "node")).spec.renewTime > began);
  await reconnect();
  return now !== before && { pids: [before, now] };
});

fault("the operator is deleted while resources change", {}, async () => {
  const before = await uids("operator");
  await kubectl("-n", SYSTEM, "delete", "pod", "-l", "app.kubernetes.io/component=operator", "--wait=false", "--grace-period=0", "--force");
  const name = `faults-${Date.now()}`;
  const update = new Promise((resolve) => crowd.members[0].client.on("update", ({ added }) => added.has(`${name}.call`) && resolve(Date.now())));
  await apply(`
apiVersion: bannou.dev/v1alpha1
kind: ServiceExposure
metadata: {name: ${name}, namespace: default}
spec:
  serviceName: ${name}
  backend: {dapr: {appId: echo}}
  fleetRef: {namespace: ${SYSTEM}}
  endpoints: [{name: call, path: /bytes, tiers: [anonymous]}]
`);
  const applied = Date.now();
  const told = await update;
  await kubectl("delete", "sexp", name);
  const now = await uids("operator");
  return [...now].every((uid) => !before.has(uid)) && { told_after_ms: told - applied };
});

fault("the API server is restarted", needsNode, async () => {
  const state = process.env.BANNOU_NODE_STATE;
  const before = await inNode(`cat ${state}/run/apiserver.pid`);
  await inNode(`kill -9 ${before}`);
  await sleep(3000);
  await inNode(`export BANNOU_NODE_STATE=${state}; CONTROL_PLANE=${process.env.BANNOU_CONTROL_PLANE} ${root}tests/node/apiserver.sh`);
  const now = await inNode(`cat ${state}/run/apiserver.pid`);
  await until("it answers", () => kubectl("get", "--raw", "/readyz").catch(() => false));
  await reconnect();
  return now !== before && { pids: [before, now] };
});

fault("the gateway's sidecar is killed", needsNode, async () => {
  const [pod] = await pods("gateway");
  await inNode("pkill -9 -f 'daprd.*--app-id bannou-gateway' -o");
  const found = await until("the kubelet has started it again", async () => (await pods("gateway")).find((each) => restarts(each, "daprd") > 0));
  return { restarts: restarts(found, "daprd"), of: [pod.metadata.name, found.metadata.name] };
});

fault("Dapr's control plane is gone for a while", {}, async () => {
  const deployments = ["dapr-operator", "dapr-sentry", "dapr-sidecar-injector"];
  await kubectl("-n", "dapr-system", "scale", "deploy", ...deployments, "--replicas=0");
  await until("it is gone", async () => (await getJson("pods", "-n", "dapr-system", "-l", "app in (dapr-operator,dapr-sentry,dapr-sidecar-injector)")).items.length === 0);
  const calls = crowd.summary().answered;
  await sleep(10_000);
  const answered = crowd.summary().answered - calls;
  await kubectl("-n", "dapr-system", "scale", "deploy", ...deployments, "--replicas=1");
  for (const name of deployments) await kubectl("-n", "dapr-system", "rollout", "status", `deploy/${name}`, "--timeout=90s");
  return answered > 0 && { answered_meanwhile: answered };
});

fault("a service's Pods are all gone, and come back", {}, async () => {
  const before = crowd.summary().refused;
  await kubectl("scale", "deploy/echo", "--replicas=0");
  await until("it is gone", async () => (await getJson("pods", "-l", "app=echo")).items.length === 0);
  const told = await until("its exposure says so", async () => {
    const { items } = await getJson("sexp");
    const exposure = items.find((each) => each.spec.serviceName === "echo");
    return exposure?.status?.conditions?.find((each) => each.type === "ResolvedRefs" && each.status === "False")?.reason;
  });
  const status = await until("clients are told", () => ["502", "503"].find((each) => (crowd.summary().refused[each] ?? 0) > (before[each] ?? 0)));
  await kubectl("scale", "deploy/echo", "--replicas=1");
  return { condition: told, status };
});

fault("RabbitMQ is restarted", needsNode, async () => {
  const pod = async () => (await getJson("pod", "-n", "rabbitmq", "rabbitmq-0")).status.containerStatuses[0];
  const before = await pod();
  await inNode("pkill -9 -f 'beam.smp.*rabbit'");
  const now = await until("the kubelet has started it again", async () => { const found = await pod(); return found.restartCount > before.restartCount && found.ready && found; });
  await reconnect();
  await until("pushes are confirmed again", async () => { const { confirmed } = crowd.summary(); await sleep(500); return crowd.summary().confirmed > confirmed; }, 90_000);
  return { restarts: now.restartCount };
});

fault("CoreDNS is gone for a minute", {}, async () => {
  await kubectl("-n", "kube-system", "scale", "deploy/coredns", "--replicas=0");
  await until("it is gone", async () => (await getJson("pods", "-n", "kube-system", "-l", "k8s-app=kube-dns")).items.length === 0);
  const began = Date.now();
  await sleep(60_000);
  await kubectl("-n", "kube-system", "scale", "deploy/coredns", "--replicas=1");
  await kubectl("-n", "kube-system", "rollout", "status", "deploy/coredns", "--timeout=60s");
  return { away_ms: Date.now() - began };
});

fault("the fleet's key and the operator's authority are rotated", {}, async () => {
  const data = async (name) => (await getJson("secret", "-n", SYSTEM, name)).data;
  const [key, authority] = [await data("bannou-fleet-key"), await data("bannou-operator-ca")];
  const ages = crowd.members.map((member) => member.client.session.clientId);
  await kubectl("-n", SYSTEM, "annotate", "secret", "bannou-fleet-key", "bannou-operator-ca", "bannou.dev/rotated-at=2026-01-01T00:00:00Z", "--overwrite");
  await until("both are rotated", async () => (await data("bannou-fleet-key"))["current.key"] === key["next.key"] && (await data("bannou-operator-ca"))["ca.crt"] === authority["next.crt"], 120_000);
  const same = crowd.members.filter((member, i) => member.client.session.clientId === ages[i]).length;
  assert.equal(same, ages.length, "nobody was disconnected");
  return { same };
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
  await kubectl("-n", SYSTEM, "scale", "deploy/bannou-gateway", "--replicas=2");
  await until("two have left", async () => (await pods("gateway")).length === 2, 120_000);
  return most === 4 && { from: most, to: 2 };
});
