// Keys and tokens that are made anew while everything runs, with 200 clients under load throughout, as in gateways.test.js.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { WebSocket } from "ws";
import { connect } from "../../../../clients/javascript/src/index.js";
import { SYSTEM, allLinked, cgroup, crowd, everyCallHasEnded, fault, inNode, needsNode, pods, ready, restartKubelet, toldOfANewExposure, uids, url } from "../support.js";
import { getJson, kubectl, kubectlIn, until } from "../kubernetes.js";

const secret = async (name, namespace = SYSTEM) => (await getJson("secret", "-n", namespace, name)).data;
const setSecret = (name, namespace, key, value) =>
  kubectl("-n", namespace, "patch", "secret", name, "--type=merge", "-p", JSON.stringify({ data: { [key]: Buffer.from(value).toString("base64") } }));

fault("the fleet's key and the operator's authority are rotated", {}, async () => {
  const [key, authority] = [await secret("bannou-fleet-key"), await secret("bannou-operator-ca")];
  const ages = crowd.members.map((member) => member.client.session.clientId);
  await kubectl("-n", SYSTEM, "annotate", "secret", "bannou-fleet-key", "bannou-operator-ca", "bannou.dev/rotated-at=2026-01-01T00:00:00Z", "--overwrite");
  await until("both are rotated", async () => (await secret("bannou-fleet-key"))["current.key"] === key["next.key"] && (await secret("bannou-operator-ca"))["ca.crt"] === authority["next.crt"], 120_000);
  const same = crowd.members.filter((member, i) => member.client.session.clientId === ages[i]).length;
  assert.equal(same, ages.length, "nobody was disconnected");
  return { same };
});

/** The token by which a gateway's Pod is known to the operator, as the kubelet has written it. */
const tokenOf = (pod) => inNode(`cat ${process.env.BANNOU_NODE_STATE}/var/kubelet/pods/${pod.metadata.uid}/volumes/kubernetes.io~projected/operator-token/token`);

async function isGood(token) {
  const review = { apiVersion: "authentication.k8s.io/v1", kind: "TokenReview", spec: { token, audiences: ["bannou-operator"] } };
  return JSON.parse(await kubectlIn(JSON.stringify(review), "create", "-f", "-", "-o", "json")).status.authenticated === true;
}

fault("the gateways' tokens for the operator are made anew, and the old ones are void", needsNode, async () => {
  const gateways = await pods("gateway");
  const old = await Promise.all(gateways.map(tokenOf));
  assert.deepEqual(await Promise.all(old.map(isGood)), old.map(() => true));
  // Tokens are an account's: they are void when it is another one, though of the same name.
  const { metadata, ...account } = await getJson("serviceaccount", "-n", SYSTEM, "bannou-gateway");
  const { name, namespace, labels, annotations } = metadata;
  await kubectlIn(JSON.stringify({ ...account, metadata: { name, namespace, labels, annotations } }), "replace", "--force", "-f", "-");
  await until("the old tokens are void", async () => (await Promise.all(old.map(isGood))).every((good) => !good));
  // The kubelet keeps tokens for most of their hour, but not over its own restart.
  await restartKubelet();
  const fresh = await until("the kubelet has written new ones", async () => {
    const now = await Promise.all(gateways.map(tokenOf));
    return now.every((token, i) => token !== old[i]) && now;
  });
  assert.deepEqual(await Promise.all(fresh.map(isGood)), fresh.map(() => true));
  // Links that are open stay; now none is.
  const operators = await uids("operator");
  await kubectl("-n", SYSTEM, "delete", "pod", "-l", "app.kubernetes.io/component=operator", "--grace-period=0", "--force");
  await ready();
  assert.ok([...(await uids("operator"))].every((uid) => !operators.has(uid)));
  await until("every gateway is linked again", allLinked);
  return { told_after_ms: await toldOfANewExposure(), gateways: gateways.length };
});

/** A service tells a client something through Dapr: its sidecar, the gateway's, and the gateway, which takes that for a sidecar's call only with the app token. */
async function pushedThroughDapr() {
  const client = await connect(url, { WebSocket });
  try {
    const welcome = client.once("account.welcome");
    await client.call("account.create", JSON.stringify({ name: "Ada" }));
    const late = new Promise((_, reject) => setTimeout(reject, 10_000, new Error("no push came through Dapr")).unref());
    return (await Promise.race([welcome, late])).json();
  } finally {
    client.close();
  }
}

fault("the app token of the gateways' sidecars is rotated", needsNode, async () => {
  const token = randomBytes(24).toString("base64");
  /** Sidecars have it in their environment. */
  const haveIt = async () => Promise.all((await pods("gateway")).map((pod) => inNode(`grep -zcFx 'APP_API_TOKEN=${token}' /proc/$(head -n 1 "${cgroup(pod, "daprd")}/cgroup.procs")/environ || true`)));
  await pushedThroughDapr();
  await setSecret("gateway-app-token", SYSTEM, "token", token);
  // Sidecar and gateway have read it when they started: both go on with the old one, whatever is mounted.
  await until("the new one is mounted", async () => {
    const mounted = (pod) => inNode(`cat ${process.env.BANNOU_NODE_STATE}/var/kubelet/pods/${pod.metadata.uid}/volumes/kubernetes.io~secret/dapr-app/token`);
    return (await Promise.all((await pods("gateway")).map(mounted))).every((each) => each === token);
  });
  assert.deepEqual(new Set(await haveIt()), new Set(["0"]));
  await pushedThroughDapr();
  const before = await uids("gateway");
  await kubectl("-n", SYSTEM, "rollout", "restart", "deploy/bannou-gateway");
  await ready();
  await until("the old ones have left", async () => [...(await uids("gateway"))].every((uid) => !before.has(uid)), 120_000);
  assert.deepEqual(new Set(await haveIt()), new Set(["1"]));
  await pushedThroughDapr();
  return { replaced: before.size };
});

everyCallHasEnded();
