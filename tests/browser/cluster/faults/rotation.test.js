// Keys and tokens that are made anew while everything runs, with 200 clients under load throughout, as in gateways.test.js.
import assert from "node:assert/strict";
import { createHmac, randomBytes, randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { WebSocket } from "ws";
import { Client, connect } from "../../../../clients/javascript/src/index.js";
import { allLinked, cgroup, crowd, everyCallHasEnded, fault, pods, ready, restartKubelet, toldOfANewExposure, uids, url } from "../support.js";
import { SYSTEM, forward, getJson, kubectl, kubectlIn, until } from "../kubernetes.js";
import { inNode, needsNode } from "../node.js";

const secret = async (name, namespace = SYSTEM) => (await getJson("secret", "-n", namespace, name)).data;
const setSecret = (name, namespace, key, value) =>
  kubectl("-n", namespace, "patch", "secret", name, "--type=merge", "-p", JSON.stringify({ data: { [key]: Buffer.from(value).toString("base64") } }));

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
    const welcome = client.once("account.welcome", { signal: AbortSignal.timeout(5_000) });
    await client.call("account.create", JSON.stringify({ name: "Ada" }));
    return (await welcome).json();
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
  // The service's own sidecar may still look for gateways that are gone.
  const began = Date.now();
  await until("pushes come through Dapr again", () => pushedThroughDapr().catch(() => false));
  return { replaced: before.size, pushed_again_after_ms: Date.now() - began };
});

/** A token as the demo's login service makes them. */
function signed(key, subject) {
  const now = Math.floor(Date.now() / 1000);
  const part = (object) => Buffer.from(JSON.stringify(object)).toString("base64url");
  const claims = { iss: "https://demo.bannou.dev/", aud: "quickstart", sub: subject, jti: randomUUID(), iat: now, nbf: now, exp: now + 600 };
  const said = `${part({ alg: "HS256", typ: "JWT" })}.${part(claims)}`;
  return `${said}.${createHmac("sha256", key).update(said).digest("base64url")}`;
}

/** @returns {Promise<boolean>} whether that gateway lets somebody in as who the token says */
async function letsIn(port, token) {
  const client = new Client(`ws://127.0.0.1:${port}/connect`, { WebSocket, token, reconnect: false });
  try {
    await client.open();
    return client.services.has("account.get");
  } catch (error) {
    // 4401: the token is refused. Anything else is no answer to the question.
    if (error.code !== 4401) throw error;
    return false;
  } finally {
    client.close();
  }
}

/** @returns {Promise<object>} what shows that it happened */
async function rotateIssuersKey() {
  const old = Buffer.from((await secret("demo-signing-key")).secret, "base64");
  const key = randomBytes(32).toString("base64");
  const gateways = await pods("gateway");
  const ways = await Promise.all(gateways.map(({ metadata }) => forward(SYSTEM, `pod/${metadata.name}`, 8080)));
  const everywhere = async (token) => (await Promise.all(ways.map(({ port }) => letsIn(port, token))));
  const players = await Promise.all(["ada", "grace"].map((name) => connect(url, { WebSocket, token: signed(old, name) })));
  try {
    const sessions = players.map(({ session }) => session.sessionId);
    const may = () => players.map(({ services }) => services.has("account.get"));
    assert.deepEqual([may(), await everywhere(signed(old, "ada")), await everywhere(signed(key, "ada"))], [[true, true], ways.map(() => true), ways.map(() => false)]);
    // Where the gateways check tokens, and where the demo signs them.
    for (const namespace of [SYSTEM, "default"]) await setSecret("demo-signing-key", namespace, "secret", key);
    const began = Date.now();
    // The demo reads its key when it starts.
    await kubectl("rollout", "restart", "deploy/auth");
    // Once a second: who shows many bad tokens is not asked again for a while.
    await until("a token of the new key lets in everywhere", async () => (await everywhere(signed(key, "ada"))).every(Boolean) || void (await sleep(1000)));
    const took = Date.now() - began;
    assert.deepEqual(await everywhere(signed(old, "ada")), ways.map(() => false), "the old key is good for nothing");
    const now = await pods("gateway");
    assert.deepEqual(now.map(({ metadata, status }) => [metadata.uid, status.containerStatuses.map(({ restartCount }) => restartCount)]),
      gateways.map(({ metadata, status }) => [metadata.uid, status.containerStatuses.map(({ restartCount }) => restartCount)]), "nothing was restarted");
    // Who is in is in by a token that was good; it ends when that token does.
    assert.deepEqual([players.map(({ state, session }) => [state, session.sessionId]), may()], [sessions.map((id) => ["open", id]), [true, true]]);
    await kubectl("rollout", "status", "deploy/auth", "--timeout=60s");
    const newcomer = await connect(url, { WebSocket });
    try {
      await until("a login with the new key", () => newcomer.call("auth.login", JSON.stringify({ name: "ada", password: "lovelace" })).catch(() => undefined));
      await newcomer.available("account.get", { signal: AbortSignal.timeout(10_000) });
    } finally {
      newcomer.close();
    }
    return { accepted_after_ms: took, gateways: ways.length };
  } finally {
    for (const player of players) player.close();
    for (const way of ways) way.close();
  }
}

// The operator looks at its keys once a minute; the issuer's is rotated meanwhile.
fault("the fleet's key, the operator's authority and an issuer's key are rotated", {}, async () => {
  const [fleet, authority] = [await secret("bannou-fleet-key"), await secret("bannou-operator-ca")];
  const sessions = crowd.members.map(({ client }) => client.session.clientId);
  await kubectl("-n", SYSTEM, "annotate", "secret", "bannou-fleet-key", "bannou-operator-ca", "bannou.dev/rotated-at=2026-01-01T00:00:00Z", "--overwrite");
  const proof = await rotateIssuersKey();
  await until("both are rotated", async () => (await secret("bannou-fleet-key"))["current.key"] === fleet["next.key"] && (await secret("bannou-operator-ca"))["ca.crt"] === authority["next.crt"], 120_000);
  assert.deepEqual(crowd.members.map(({ client }) => client.session.clientId), sessions, "nobody was disconnected");
  return proof;
});

everyCallHasEnded();
