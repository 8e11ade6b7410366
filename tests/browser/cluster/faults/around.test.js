// What breaks around the gateways in real clusters, one after the other, with 200 clients under load throughout, as in gateways.test.js.
import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { busiest, crowd, everyCallHasEnded, fault, pods, restartKubelet, toldOfANewExposure, uids } from "../support.js";
import { SYSTEM, bannou, expose, getJson, kubectl, kubectlIn, until } from "../kubernetes.js";
import { inNode, needsNode, root } from "../node.js";

fault("the kubelet is restarted", needsNode, async () => {
  const [before, now] = await restartKubelet();
  return now !== before && { pids: [before, now] };
});

fault("the operator is deleted while resources change", {}, async () => {
  const before = await uids("operator");
  // Another endpoint in the place of the one before, again and again, all through it.
  const name = `changing-${Date.now()}`;
  let changes = 0;
  let on = true;
  const changing = (async () => { while (on) await expose(name, `call-${++changes}`); })();
  await until("it changes", () => changes > 3);
  await kubectl("-n", SYSTEM, "delete", "pod", "-l", "app.kubernetes.io/component=operator", "--wait=false", "--grace-period=0", "--force");
  const [atDeletion, told] = [changes, await toldOfANewExposure()];
  on = false;
  await changing;
  const seen = ({ client }) => [...client.services.keys()].filter((each) => each.startsWith(name)).join();
  await until("everybody sees the last change and nothing of those before", () => crowd.members.every((member) => seen(member) === `${name}.call-${changes}`));
  await kubectl("delete", "sexp", name);
  const now = await uids("operator");
  return [...now].every((uid) => !before.has(uid)) && { told_after_ms: told, changes: [atDeletion, changes] };
});

fault("the API server is restarted", needsNode, async () => {
  const state = process.env.BANNOU_NODE_STATE;
  const before = await inNode(`cat ${state}/run/apiserver.pid`);
  await inNode(`kill -9 ${before}`);
  await sleep(3000);
  await inNode(`export BANNOU_NODE_STATE=${state}; CONTROL_PLANE=${process.env.BANNOU_CONTROL_PLANE} ${root}tests/node/apiserver.sh`);
  const now = await inNode(`cat ${state}/run/apiserver.pid`);
  await until("it answers", () => kubectl("get", "--raw", "/readyz").catch(() => false));
  return now !== before && { pids: [before, now] };
});

fault("Dapr's control plane is gone for a while", {}, async () => {
  const deployments = ["dapr-operator", "dapr-sentry", "dapr-sidecar-injector"];
  await kubectl("-n", "dapr-system", "scale", "deploy", ...deployments, "--replicas=0");
  await until("it is gone", async () => (await getJson("pods", "-n", "dapr-system", "-l", "app in (dapr-operator,dapr-sentry,dapr-sidecar-injector)")).items.length === 0);
  const calls = crowd.summary().answered;
  await sleep(10_000);
  const answered = crowd.summary().answered - calls;
  // A Pod that is made now has no sidecar, and nobody adds one later.
  const made = await uids("gateway");
  await kubectl("-n", SYSTEM, "delete", "pod", (await busiest()).metadata.name);
  const alone = await until("another is made", async () => (await pods("gateway")).find(({ metadata }) => !made.has(metadata.uid)));
  const { code, stdout } = await bannou("check", "-n", SYSTEM);
  assert.equal(code, 1, stdout);
  assert.ok(stdout.includes(`${SYSTEM}/${alone.metadata.name} was made without Dapr's sidecar`), stdout);
  await kubectl("-n", "dapr-system", "scale", "deploy", ...deployments, "--replicas=1");
  for (const name of deployments) await kubectl("-n", "dapr-system", "rollout", "status", `deploy/${name}`, "--timeout=90s");
  // It is ready a moment before the API server reaches it, and asks nobody twice. A Pod that is made for show tells when it does.
  const shown = JSON.stringify({ apiVersion: "v1", kind: "Pod", metadata: { name: "shown", annotations: { "dapr.io/enabled": "true", "dapr.io/app-id": "shown" } }, spec: { containers: [{ name: "app", image: "none" }] } });
  await until("the injector is asked", async () => (await kubectlIn(shown, "create", "--dry-run=server", "-o", "json", "-f", "-")).includes('"daprd"'));
  await kubectl("-n", SYSTEM, "delete", "pod", alone.metadata.name);
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

everyCallHasEnded();
