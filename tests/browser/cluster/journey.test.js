// The way that the README describes, on a real cluster: from `helm install` to a page in a real browser that calls, is pushed to, and answers; and back to nothing.
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { chromium } from "playwright-core";
import { SYSTEM, apply, bannou, getJson, helm, kubectl, say, startSpeaker, until } from "./kubernetes.js";
import { root } from "./node.js";

const shots = join(root, "build", "screenshots");
const address = process.env.BANNOU_NODE_ADDRESS;
const PAGE = `http://${address}:30081/`;
const FLAGS =
  "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync";

let profile;
let context;
let page;

before(async () => {
  mkdirSync(shots, { recursive: true });
  profile = mkdtempSync(join(tmpdir(), "bannou-chromium-"));
  context = await chromium.launchPersistentContext(profile, {
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    // As a page over https would be: only such a page may use the clipboard.
    args: [...FLAGS.split(" "), `--unsafely-treat-insecure-origin-as-secure=${PAGE.slice(0, -1)}`],
    viewport: { width: 1440, height: 900 },
    permissions: ["clipboard-read", "clipboard-write"],
  });
  context.setDefaultTimeout(60_000);
});

after(async () => {
  await context?.close();
  rmSync(profile, { recursive: true, force: true, maxRetries: 3 });
});

const unlocked = (name) => page.locator(`#services [data-name="${name}"]:not(.locked)`);

/** What is in the system's namespace that the release, the operator or a controller made; what was there before is left out. */
async function made() {
  const kinds = "deployments,replicasets,pods,services,secrets,configmaps,leases,serviceaccounts,roles,rolebindings,networkpolicies,poddisruptionbudgets,horizontalpodautoscalers,bannou";
  const { items } = await getJson(kinds, "-n", SYSTEM);
  const own = new Set(["Secret/demo-signing-key", "Secret/gateway-app-token", "Secret/broker", "ConfigMap/kube-root-ca.crt", "ServiceAccount/default"]);
  const dapr = (item) => /^dapr-/.test(item.metadata.name);
  return items.map((item) => [`${item.kind}/${item.metadata.name}`, item]).filter(([name, item]) => !own.has(name) && !dapr(item) && !/helm\.release.*bannou-crds/.test(name)).map(([name]) => name);
}

async function call(name, payload) {
  await page.locator("#tab-call").click();
  await unlocked(name).click();
  if (payload !== undefined) await page.locator("#payload").fill(payload);
  await page.locator("#send").click();
  await page.locator(`#answers > article[data-name="${name}"][aria-busy="false"]`).first().waitFor();
  return page.locator("#answers > article").first().locator(".status").textContent();
}

test("helm install brings operator and gateways up under restricted Pod security", async () => {
  await helm("uninstall", "bannou", "-n", SYSTEM, "--wait", "--ignore-not-found");
  await kubectl("-n", SYSTEM, "delete", "tier", "--all");
  await until("nothing is left of an earlier release", async () => (await made()).length === 0, 90_000);
  const namespace = await getJson("namespace", SYSTEM);
  assert.equal(namespace.metadata.labels["pod-security.kubernetes.io/enforce"], "restricted");
  const began = Date.now();
  // Without tiers: those are applied by hand, next.
  await helm("install", "bannou", join(root, "charts/bannou"), "-n", SYSTEM, "-f", process.env.BANNOU_VALUES,
    "--set", "tiers.anonymous=null", "--set", "tiers.player=null");
  for (const name of ["bannou-operator", "bannou-gateway"]) await kubectl("-n", SYSTEM, "rollout", "status", `deploy/${name}`, "--timeout=120s");
  console.log(`helm install until all Pods are ready: ${Date.now() - began} ms`);
  const { items } = await getJson("events", "-n", SYSTEM);
  assert.deepEqual(items.filter((event) => event.reason === "FailedCreate" && Date.parse(event.lastTimestamp ?? event.eventTime) >= began - 1000).map((event) => event.message), []);
});

test("tiers are applied, a Deployment is annotated, and both are programmed", async () => {
  await apply(`
apiVersion: bannou.dev/v1alpha1
kind: AccessTier
metadata: {name: anonymous, namespace: ${SYSTEM}}
spec:
  admission: {principal: Anonymous}
  allowedExposures: {namespaces: {from: All}, sources: [Resource, Annotation], effects: [Login]}
---
apiVersion: bannou.dev/v1alpha1
kind: AccessTier
metadata: {name: player, namespace: ${SYSTEM}}
spec:
  includes: [anonymous]
  admission: {principal: Authenticated, issuers: [demo]}
  allowedExposures: {namespaces: {from: All}, sources: [Resource, Annotation], effects: [Peers]}
  peers: Introduced
`);
  await kubectl("wait", "-n", SYSTEM, "tier", "--all", "--for=condition=Programmed", "--timeout=60s");
  await kubectl("patch", "deployment", "echo", "--type=json", "-p", '[{"op":"remove","path":"/spec/template/metadata/annotations/bannou.dev~1expose"}]').catch(() => {});
  await kubectl("patch", "deployment", "echo", "-p", JSON.stringify({ spec: { template: { metadata: { annotations: { "bannou.dev/expose": "true" } } } } }));
  await kubectl("rollout", "status", "deploy/echo", "--timeout=120s");
  const exposure = await until("the operator has made the exposure", async () => (await kubectl("get", "sexp", "-o", "name")).split("\n").find((name) => name.includes("echo")));
  await kubectl("wait", exposure, "--for=condition=Programmed", "--timeout=60s");
});

test("a browser outside connects, logs in, calls", async () => {
  page = await context.newPage();
  await page.goto(PAGE);
  await page.locator('#connection[data-state="open"]').waitFor();
  assert.match(await call("echo.bytes", "Hello from outside"), /OK/);
  await page.locator('input[name="password"]').fill("lovelace");
  await page.locator("#login-submit").click();
  await unlocked("game.connect").waitFor();
  assert.match(await call("account.create", '{"name":"Ada"}'), /OK|20/);
  await page.screenshot({ path: join(shots, "cluster-1-called.png") });
});

test("another Pod pushes through RabbitMQ, and gets the browser's answer", async () => {
  const client = await page.evaluate(async () => {
    document.querySelector("#fact-session").click();
    return navigator.clipboard.readText();
  });
  await startSpeaker();
  const tell = (event, payload) => say({ key: client, headers: { "bannou-service": "game", "bannou-event": event }, body: Buffer.from(JSON.stringify(payload)).toString("base64") });
  await page.locator("#tab-events").click();
  await tell("match_found", { match: "m1", status: "found" });
  await page.locator('#event-feed article[data-name="game.match_found"]', { hasText: "m1" }).waitFor();
  const asked = tell("ready_check", { match: "m1" });
  await page.locator('#event-feed article[data-name="game.ready_check"][aria-busy="true"]').getByRole("button", { name: "Yes" }).click();
  const { answers } = await asked;
  assert.equal(answers[0].headers["bannou-status"], 200);
  assert.deepEqual(JSON.parse(Buffer.from(answers[0].body, "base64").toString()), { ready: true });
  await page.screenshot({ path: join(shots, "cluster-2-answered.png") });
});

test("kubectl bannou says what a player may call, and why not", async () => {
  const claims = join(profile, "claims.json");
  writeFileSync(claims, JSON.stringify({ iss: "https://demo.bannou.dev/", aud: "quickstart", sub: "ada", exp: Math.floor(Date.now() / 1000) + 600 }));
  const allowed = await bannou("can-i", "game.connect", "--claims", claims);
  assert.equal(allowed.code, 0, allowed.stdout + allowed.stderr);
  const denied = await bannou("can-i", "game.connect");
  assert.equal(denied.code, 1, denied.stdout + denied.stderr);
  assert.match(denied.stdout, /player/);
  const explained = await bannou("explain", "echo");
  assert.equal(explained.code, 0, explained.stdout + explained.stderr);
  assert.match(explained.stdout, /echo/);
  const status = await bannou("status");
  assert.equal(status.code, 0, status.stdout + status.stderr);
  console.log(status.stdout);
});

test("without the annotation the service leaves the page", async () => {
  await unlocked("echo.bytes").waitFor();
  const began = Date.now();
  // The page keeps the name of what it had, as locked.
  const gone = page.locator('#services [data-name="echo.bytes"].locked').waitFor();
  await kubectl("patch", "deployment", "echo", "--type=json", "-p", '[{"op":"remove","path":"/spec/template/metadata/annotations/bannou.dev~1expose"}]');
  const patched = Date.now();
  await gone;
  console.log(`annotation removed: the page without the service after ${Date.now() - patched} ms, ${Date.now() - began} ms with kubectl`);
  await page.screenshot({ path: join(shots, "cluster-3-gone.png") });
});

test("kubectl bannou says why the service is gone", async () => {
  const explained = await bannou("explain", "echo");
  assert.equal(explained.code, 2, explained.stdout + explained.stderr);
  assert.match(explained.stderr, /no ServiceExposure of the fleet bannou-system\/default has the service name "echo", and no workload asks for it; there is account, auth, chat, game/);
  const asked = await bannou("can-i", "echo.bytes");
  assert.equal(asked.code, 2, asked.stdout + asked.stderr);
  assert.match(asked.stderr, /no ServiceExposure of this fleet has "echo\.bytes"; there are the services account, auth, chat, game/);
  // One that asks wrongly is not one that does not ask.
  const annotate = (value) => kubectl("patch", "deployment", "echo", "-p", JSON.stringify({ spec: { template: { metadata: { annotations: { "bannou.dev/expose": value } } } } }));
  await annotate("yes");
  const wrong = await until("the mistake is told", async () => { const said = await bannou("explain", "echo"); return said.code === 1 && said; });
  assert.match(wrong.stdout, /Deployment default\/echo: bannou\.dev\/expose: "yes": write "true" or "false"/);
});

test("helm uninstall leaves nothing but the definitions", async () => {
  await page?.close();
  // What a person applied is a person's to delete.
  await kubectl("-n", SYSTEM, "delete", "tier", "anonymous", "player", "--ignore-not-found");
  await helm("uninstall", "bannou", "-n", SYSTEM, "--wait");
  await until("nothing is left", async () => (await made()).length === 0, 90_000).catch(async (error) => {
    throw new Error(`${error.message}: ${await made()}`);
  });
  const crds = (await getJson("crd")).items.map((crd) => crd.metadata.name);
  for (const kind of ["fleets", "accesstiers", "serviceexposures"]) assert.ok(crds.includes(`${kind}.bannou.dev`), kind);
  const wide = (await getJson("clusterroles,clusterrolebindings")).items.map((item) => item.metadata.name);
  assert.deepEqual(wide.filter((name) => name.startsWith("bannou") && !/^bannou-(view|edit|admin)$/.test(name)), []);
});
