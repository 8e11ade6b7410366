// Who reaches what, tried by connecting: the ports that are not on the public Service, and the NetworkPolicies of the chart, enforced. Each value of networkPolicy
// lets somebody in and keeps somebody out; without the policies everybody is let in, so that it is they which keep out.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { connect } from "node:net";
import { after, before, test } from "node:test";
import { isDeepStrictEqual } from "node:util";
import { join } from "node:path";
import { SYSTEM, apply, getJson, helm, kubectl, until } from "./kubernetes.js";
import { inNode, ownNode, root, run } from "./node.js";

const address = process.env.BANNOU_NODE_ADDRESS;
const enforced = { skip: ownNode ? false : "whether this cluster enforces NetworkPolicies is not known" };
const LISTENS = 7000;

/** Prints, for each [host, port] of its argument, whether a connection is opened. Refused and without an answer are the same: enforcers differ in it. */
const PROBE = `
const { connect } = require("node:net");
const one = ([host, port]) => new Promise((resolve) => {
  const socket = connect({ host, port, timeout: 3000 });
  const end = (said) => { socket.destroy(); resolve(said); };
  socket.on("connect", () => end("open")).on("error", () => end("kept out")).on("timeout", () => end("kept out"));
});
Promise.all(JSON.parse(process.argv[1]).map(one)).then((said) => console.log(JSON.stringify(said)));`;

const fromPod = (namespace) => async (targets) => JSON.parse(await kubectl("-n", namespace, "exec", "caller", "--", "/node", "-e", PROBE, JSON.stringify(targets)));
const inside = fromPod("network-inside");
const outside = fromPod("network-outside");
const fromHere = async (targets) => JSON.parse((await run(process.execPath, ["-e", PROBE, JSON.stringify(targets)])).stdout);
/** From where a gateway's own connections come: its image has no program that could try. */
async function fromGateway(targets) {
  const script = `
    for group in /proc/[0-9]*/cgroup; do
      if grep -q '${gateways[0].metadata.uid}' "$group" 2>/dev/null; then pid=\${group#/proc/}; break; fi
    done
    nsenter --target "\${pid%/cgroup}" --net -- '${process.execPath}' -e "$PROBE" "$TARGETS"`;
  return JSON.parse(await inNode(script, { PROBE, TARGETS: JSON.stringify(targets) }));
}

let gateways;
let operator;
let service;
/** Pods and Services by the names that the tests use: host and port of "gateway:9080", "node:30080". */
const hosts = { node: address };
const target = (name) => [hosts[name.split(":")[0]], Number(name.split(":")[1])];

const callers = ["network-inside", "network-outside"].map((namespace) => `
apiVersion: v1
kind: Namespace
metadata: {name: ${namespace}}
---
apiVersion: v1
kind: Pod
metadata: {name: caller, namespace: ${namespace}}
spec:
  automountServiceAccountToken: false
  terminationGracePeriodSeconds: 0
  containers:
  - name: caller
    image: localhost/speaker:dev
    imagePullPolicy: IfNotPresent
    args: [-e, "require('node:net').createServer((socket) => socket.end()).listen(${LISTENS})"]
    readinessProbe: {tcpSocket: {port: ${LISTENS}}, periodSeconds: 1}
`).join("---");

const pods = async (namespace, labels) => (await getJson("pods", "-n", namespace, "-l", labels)).items.filter((pod) => !pod.metadata.deletionTimestamp);

async function findGateways() {
  await kubectl("-n", SYSTEM, "rollout", "status", "deploy/bannou-gateway", "--timeout=120s");
  gateways = await pods(SYSTEM, "app.kubernetes.io/component=gateway");
  hosts.gateway = gateways[0].status.podIP;
}

before(async () => {
  await apply(callers);
  for (const namespace of ["network-inside", "network-outside"]) await kubectl("-n", namespace, "wait", "pod/caller", "--for=condition=Ready", "--timeout=60s");
  await findGateways();
  [operator] = await pods(SYSTEM, "app.kubernetes.io/component=operator");
  const [broker] = await pods("rabbitmq", "app=rabbitmq");
  const [dns] = await pods("kube-system", "k8s-app=kube-dns");
  service = await getJson("service", "-n", SYSTEM, "bannou-gateway");
  const callerOf = async (namespace) => (await getJson("pod", "-n", namespace, "caller")).status.podIP;
  Object.assign(hosts, {
    operator: operator.status.podIP, broker: broker?.status.podIP, dns: dns?.status.podIP, service: service.spec.clusterIP,
    inside: await callerOf("network-inside"), outside: await callerOf("network-outside"),
  });
});

after(async () => {
  await helm("upgrade", "bannou", join(root, "charts/bannou"), "-n", SYSTEM, "--reset-values", "-f", process.env.BANNOU_VALUES);
  await findGateways();
  await kubectl("-n", SYSTEM, "delete", "secret", "network-tokens", "--ignore-not-found");
  await kubectl("delete", "namespace", "network-inside", "network-outside", "--ignore-not-found");
});

/** Waits until it is as expected, by name of the target: an enforcer says nowhere that it has read a policy. */
async function reaches(from, expected) {
  const names = Object.keys(expected);
  let now;
  await until("", async () => {
    const said = await from(names.map(target));
    now = Object.fromEntries(names.map((name, i) => [name, said[i]]));
    return isDeepStrictEqual(now, expected);
  }, 20_000).catch(() => {});
  assert.deepEqual(now, expected);
}

const upgrade = (values) => helm("upgrade", "bannou", join(root, "charts/bannou"), "-n", SYSTEM, "--reuse-values", "--set-json", Object.entries(values).map(([name, value]) => `${name}=${JSON.stringify(value)}`).join(","));
const set = (values) => upgrade(Object.fromEntries(Object.entries(values).map(([name, value]) => [`networkPolicy.${name}`, value])));
const namespace = (name) => ({ namespaceSelector: { matchLabels: { "kubernetes.io/metadata.name": name } } });

test("the public Service has the clients' port alone", async () => {
  assert.deepEqual(service.spec.ports.map(({ name, port, targetPort }) => ({ name, port, targetPort })), [{ name: "clients", port: 8080, targetPort: "clients" }]);
  // Dapr makes one for sidecars; it has no address, and is for nobody outside.
  const others = (await getJson("services", "-n", SYSTEM)).items.filter((each) => each.spec.selector?.["app.kubernetes.io/component"] === "gateway" && each.metadata.name !== "bannou-gateway");
  for (const { metadata, spec } of others) {
    assert.equal(spec.type, "ClusterIP", metadata.name);
    assert.deepEqual(spec.ports.filter(({ port, targetPort }) => [port, targetPort].some((each) => [9080, 9082, "admin"].includes(each))), [], metadata.name);
  }
  await reaches(outside, { "service:8080": "open", "service:9080": "kept out", "service:9081": "kept out", "service:9082": "kept out", "service:50002": "kept out" });
  await reaches(fromHere, { "node:30080": "open", "node:8080": "kept out", "node:9080": "kept out", "node:9081": "kept out", "node:9082": "kept out" });
  // What answers on the node's port is the clients' port: nothing of the operations is there.
  for (const path of ["/metrics", "/livez", "/readyz", "/v1/connections"]) assert.equal((await fetch(`http://${address}:30080${path}`)).status, 404, path);
});

test("a Pod of another namespace reaches gateways as clients and sidecars do, and nothing else of them", enforced, async () => {
  const ports = { "gateway:8080": "open", "gateway:50002": "open", "gateway:9080": "kept out", "gateway:9081": "kept out", "gateway:9082": "kept out", "gateway:9090": "kept out" };
  for (const pod of gateways) {
    hosts.gateway = pod.status.podIP;
    await reaches(outside, ports);
  }
  hosts.gateway = gateways[0].status.podIP;
  await reaches(outside, { "operator:9080": "kept out", "operator:9443": "kept out" });
  await reaches(fromGateway, { "operator:9443": "open", "operator:9080": "kept out" });
});

test("it is the policies that keep out: without them it is let in", enforced, async () => {
  await set({ enabled: false });
  await reaches(outside, { "gateway:8080": "open", "gateway:9080": "open", "gateway:9090": "open", "operator:9080": "open", "operator:9443": "open" });
  await set({ enabled: true });
  await reaches(outside, { "gateway:8080": "open", "gateway:9080": "kept out", "operator:9080": "kept out", "operator:9443": "kept out" });
});

test("metrics: the operations ports, for those who are named", enforced, async () => {
  await set({ metrics: [namespace("network-inside")] });
  await reaches(inside, { "gateway:9080": "open", "gateway:9090": "open", "operator:9080": "open", "gateway:9082": "kept out", "operator:9443": "kept out" });
  await reaches(outside, { "gateway:9080": "kept out", "gateway:9090": "kept out", "operator:9080": "kept out" });
  await set({ metrics: [] });
  await reaches(inside, { "gateway:9080": "kept out", "operator:9080": "kept out" });
});

test("clients: the clients' port, for those who are named, from Pods and from outside", enforced, async () => {
  await set({ clients: [namespace("network-inside")] });
  await reaches(outside, { "gateway:8080": "kept out", "service:8080": "kept out" });
  await reaches(fromHere, { "node:30080": "kept out" });
  await reaches(inside, { "gateway:8080": "open", "service:8080": "open" });
  // The policy sees who connects to the node, although the gateway then does not.
  const socket = connect(6443, address);
  const here = await new Promise((resolve, reject) => socket.on("connect", () => resolve(socket.localAddress)).on("error", reject));
  socket.destroy();
  await set({ clients: [{ ipBlock: { cidr: `${here}/32` } }] });
  await reaches(fromHere, { "node:30080": "open" });
  await reaches(inside, { "gateway:8080": "kept out" });
  await set({ clients: [] });
  await reaches(inside, { "gateway:8080": "open" });
  await reaches(fromHere, { "node:30080": "open" });
});

test("sidecars: the port between sidecars, for those who are named", enforced, async () => {
  await set({ sidecars: [namespace("network-inside")] });
  await reaches(outside, { "gateway:50002": "kept out", "gateway:8080": "open" });
  await reaches(inside, { "gateway:50002": "open" });
  await set({ sidecars: [] });
  await reaches(outside, { "gateway:50002": "open" });
});

test("gatewayEgress: what gateways reach, beside names and the operator", enforced, async () => {
  await reaches(fromGateway, { [`inside:${LISTENS}`]: "open", [`outside:${LISTENS}`]: "open", "broker:5672": "open" });
  await set({ gatewayEgress: [{ to: [namespace("network-inside")], ports: [{ protocol: "TCP", port: LISTENS }] }] });
  await reaches(fromGateway, { [`inside:${LISTENS}`]: "open", [`outside:${LISTENS}`]: "kept out", "broker:5672": "kept out", "operator:9443": "open", "dns:53": "open" });
  await set({ gatewayEgress: [] });
  await reaches(fromGateway, { [`outside:${LISTENS}`]: "open", "broker:5672": "open" });
});

test("services: the internal port, where it is on a Service, for those who are named", enforced, async () => {
  await kubectl("-n", SYSTEM, "create", "secret", "generic", "network-tokens", "--from-literal=tokens.yaml=[{tokenFile: game, services: [game]}]", `--from-literal=game=${randomUUID()}`);
  await upgrade({ "gateway.internal": { enabled: true, tokensSecret: "network-tokens" }, "networkPolicy.services": [namespace("network-inside")] });
  await findGateways();
  hosts.internal = (await getJson("service", "-n", SYSTEM, "bannou-gateway-internal")).spec.clusterIP;
  await reaches(inside, { "gateway:9081": "open", "internal:9081": "open", "gateway:9080": "kept out" });
  await reaches(outside, { "gateway:9081": "kept out", "internal:9081": "kept out", "gateway:8080": "open" });
  await set({ services: [] });
  await reaches(outside, { "gateway:9081": "open", "internal:9081": "open" });
});
