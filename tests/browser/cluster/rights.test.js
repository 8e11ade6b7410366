// Who may do what, asked of the API server itself: the operator exactly what the chart gives it, the gateways nothing. What every account may is told by one that
// nothing was given to.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { join } from "node:path";
import { SYSTEM, apply, expose, getJson, helm, kubectl, kubectlAs, kubectlIn, until } from "./kubernetes.js";
import { inNode, needsNode } from "./node.js";

const ELSEWHERE = "rights";
const OPERATOR = `system:serviceaccount:${SYSTEM}:bannou-operator`;

const withdrawn = ["rolebinding/operator-too-much", "clusterrolebinding/rights-gateway-too-much"];

before(async () => {
  await apply(`
apiVersion: v1
kind: Namespace
metadata: {name: ${ELSEWHERE}}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: nobody, namespace: ${ELSEWHERE}}
`);
});

after(async () => {
  await kubectl("-n", ELSEWHERE, "delete", ...withdrawn, "--ignore-not-found");
  await kubectl("delete", "namespace", ELSEWHERE, "--ignore-not-found");
});

/** Rules as the single permissions that they are: "verb group/resource[/name]", or "verb path". */
function permissions(rules) {
  const each = ({ verbs, apiGroups, resources, resourceNames, nonResourceURLs }) => {
    const targets = (resources ?? []).flatMap((resource) => apiGroups.flatMap((group) => (resourceNames?.length ? resourceNames : [""]).map((name) => [group, resource, name].join("/"))));
    return verbs.flatMap((verb) => [...targets, ...(nonResourceURLs ?? [])].map((target) => `${verb} ${target}`));
  };
  return new Set(rules.flatMap(each));
}

/** What the API server says that an account may do in a namespace, and in the whole cluster. @param {(...args: string[]) => Promise<string>} ask  kubectl as that account */
async function may(ask, namespace) {
  const review = { apiVersion: "authorization.k8s.io/v1", kind: "SelfSubjectRulesReview", spec: { namespace } };
  const { status } = JSON.parse(await ask(JSON.stringify(review), "create", "--validate=false", "-f", "-", "-o", "json"));
  assert.ok(!status.incomplete, "the API server knows all of its rules");
  return permissions([...status.resourceRules, ...status.nonResourceRules]);
}

const impersonating = (account) => (input, ...args) => kubectlIn(input, ...args, "--as", account);
const nobody = impersonating(`system:serviceaccount:${ELSEWHERE}:nobody`);
const beyond = (some, others) => [...some].filter((each) => !others.has(each)).sort();

/** The account's permissions in a namespace beyond what every account has. */
async function own(ask, namespace) {
  return beyond(await may(ask, namespace), await may(nobody, namespace));
}

/** What the chart renders for the operator: its cluster role, and its roles in the release's namespace. */
async function rendered() {
  const manifest = await helm("get", "manifest", "bannou", "-n", SYSTEM);
  // kubectl reads the YAML; nothing is asked of the API server, so this is what was rendered, not what has become of it.
  const said = await kubectlIn(manifest, "create", "--dry-run=client", "--validate=false", "-f", "-", "-o", "json");
  const objects = said.trim().split(/\n(?=\{)/).map((text) => JSON.parse(text));
  const bound = (kind) => objects.filter((each) => each.kind === `${kind}Binding` && each.subjects.some(({ name, namespace }) => name === "bannou-operator" && namespace === SYSTEM)).map((each) => each.roleRef.name);
  const rules = (kind) => objects.filter((each) => each.kind === kind && bound(kind).includes(each.metadata.name)).flatMap((each) => each.rules);
  return { wide: permissions(rules("ClusterRole")), here: permissions(rules("Role")) };
}

test("the operator may do exactly what the chart says, in its namespace and elsewhere", async () => {
  const { wide, here } = await rendered();
  assert.ok(wide.size > 10 && here.size > 5, "the chart renders its roles");
  const ask = impersonating(OPERATOR);
  for (const namespace of [ELSEWHERE, "default", "kube-system"]) assert.deepEqual(await own(ask, namespace), [...wide].sort(), `in ${namespace}`);
  assert.deepEqual(await own(ask, SYSTEM), [...new Set([...wide, ...here])].sort(), `in ${SYSTEM}`);

  // One right more is noticed.
  await kubectl("-n", ELSEWHERE, "create", "rolebinding", "operator-too-much", "--clusterrole=view", `--serviceaccount=${SYSTEM}:bannou-operator`);
  const more = await until("the API server counts it", async () => (await own(ask, ELSEWHERE)).filter((each) => !wide.has(each)).length);
  assert.ok(more > 10, `${more}`);
  await kubectl("-n", ELSEWHERE, "delete", "rolebinding", "operator-too-much");
});

test("with that it works: what is applied now is programmed, and its fleet is", async () => {
  await kubectl("-n", SYSTEM, "wait", "fleet", "--all", "--for=condition=Programmed", "--timeout=60s");
  await expose("rights");
  await kubectl("wait", "sexp", "rights", "--for=condition=Programmed", "--timeout=60s");
  await kubectl("delete", "sexp", "rights");
});

test("a gateway's account may do nothing at all", async () => {
  // As the account itself, with a token that is good for the API server: Pods have none.
  const token = (await kubectl("-n", SYSTEM, "create", "token", "bannou-gateway")).trim();
  const ask = (input, ...args) => kubectlAs(token, input, ...args);
  for (const namespace of [SYSTEM, ELSEWHERE, "default", "kube-system"]) assert.deepEqual(await own(ask, namespace), [], `in ${namespace}`);
  for (const what of ["secrets", "pods", "configmaps", "fleets", "accesstiers", "serviceexposures"]) {
    await assert.rejects(ask(undefined, "get", what, "-n", SYSTEM), ({ stderr }) => /Forbidden/.test(stderr) && stderr.includes(`${SYSTEM}:bannou-gateway`), what);
  }

  await kubectl("create", "clusterrolebinding", "rights-gateway-too-much", "--clusterrole=view", `--serviceaccount=${SYSTEM}:bannou-gateway`);
  await until("one right more is noticed", async () => (await own(ask, ELSEWHERE)).length > 0);
  await kubectl("delete", "clusterrolebinding", "rights-gateway-too-much");
});

test("a gateway's Pod has no token for the API server, and those that it has are refused there", needsNode, async () => {
  const { items } = await getJson("pods", "-n", SYSTEM, "-l", "app.kubernetes.io/component=gateway");
  assert.ok(items.length > 0);
  for (const pod of items) {
    const tokens = pod.spec.volumes.flatMap((volume) => (volume.projected?.sources ?? []).filter((source) => source.serviceAccountToken).map((source) => [volume.name, source.serviceAccountToken.audience]));
    const audiences = new Map(tokens);
    assert.equal(audiences.get("operator-token"), "bannou-operator");
    const mounted = pod.spec.containers.find((each) => each.name === "gateway").volumeMounts.map((mount) => mount.name).filter((name) => audiences.has(name));
    assert.deepEqual(mounted, ["operator-token"], "what the gateway itself sees");

    // Every token that the kubelet has written for this Pod, the sidecar's too.
    const folder = `${process.env.BANNOU_NODE_STATE}/var/kubelet/pods/${pod.metadata.uid}/volumes/kubernetes.io~projected`;
    const stdout = await inNode(`cd '${folder}'; for file in */token; do echo "\${file%/token} $(cat "$file")"; done`);
    const written = stdout.trim().split("\n").map((line) => line.split(" "));
    assert.deepEqual(written.map(([volume]) => volume).sort(), [...audiences.keys()].sort(), "the tokens of the Pod are those of its volumes");
    for (const [volume, token] of written) {
      // It is a real one of this account, for somebody else.
      const review = { apiVersion: "authentication.k8s.io/v1", kind: "TokenReview", spec: { token, audiences: [audiences.get(volume)] } };
      const { status } = JSON.parse(await kubectlIn(JSON.stringify(review), "create", "-f", "-", "-o", "json"));
      assert.equal(status.user?.username, `system:serviceaccount:${SYSTEM}:bannou-gateway`, `${volume}: ${status.error}`);
      await assert.rejects(kubectlAs(token, undefined, "get", "--raw", "/api"), ({ stderr }) => /Unauthorized|must be logged in/.test(stderr), volume);
    }
  }
});
