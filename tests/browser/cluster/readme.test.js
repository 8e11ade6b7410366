// The five commands that the README shows for a cluster of one's own, as they stand there, on one where nothing of the project is.
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { WebSocket } from "ws";
import { Client } from "../../../clients/javascript/src/index.js";
import { SYSTEM, forward, helm, kubectl, until } from "./kubernetes.js";
import { inNode, ownNode, root, run } from "./node.js";

const REGISTRY = "registry.example.com/bannou";

let folder;
before(async () => {
  folder = mkdtempSync(join(tmpdir(), "bannou-path-"));
  for (const [name, path] of [["helm", process.env.BANNOU_HELM], ["kubectl", process.env.BANNOU_KUBECTL], ["kubectl-bannou", process.env.BANNOU_BIN]]) symlinkSync(path, join(folder, name));
});
after(async () => {
  rmSync(folder, { recursive: true, force: true });
  if (!ownNode) return;
  // What the README's reader would have: not what `make cluster` has there.
  await helm("uninstall", "bannou", "-n", SYSTEM, "--wait", "--ignore-not-found");
  await kubectl("patch", "deployment", "account", "-p", JSON.stringify({ spec: { template: { metadata: { annotations: { "bannou.dev/expose": null, "bannou.dev/endpoint.create": null } } } } }));
  await kubectl("delete", "sexp", "--all", "--ignore-not-found");
});

/** As a person has it who has just cloned the repository, with the tools on the PATH. */
const shell = (command) => run("bash", ["-ec", command], { cwd: root, env: { ...process.env, PATH: `${folder}:${process.env.PATH}` }, timeout: 180_000 });

test("the README's five commands, from nothing to a call", { skip: ownNode ? false : "the images are not in the registry that the README names" }, async () => {
  const readme = readFileSync(join(root, "README.md"), "utf8");
  const block = /## On Kubernetes[\s\S]*?```sh\n([\s\S]*?)```/.exec(readme)[1];
  const commands = block.trim().split("\n");
  assert.equal(commands.length, 5);

  // What the README takes for granted: no release, a Deployment with Dapr's annotations and nothing of the project's, images in a registry.
  await helm("uninstall", "bannou", "bannou-crds", "-n", SYSTEM, "--wait", "--ignore-not-found");
  await kubectl("delete", "crd", "fleets.bannou.dev", "accesstiers.bannou.dev", "serviceexposures.bannou.dev", "--ignore-not-found");
  const version = /appVersion: (\S+)/.exec(readFileSync(join(root, "charts/bannou/Chart.yaml"), "utf8"))[1];
  for (const name of ["bannou-operator", "bannou-gateway", "bannou"]) {
    const images = "ctr -a /run/containerd/containerd.sock -n k8s.io images";
    await inNode(`image=$(${images} ls -q 'name~=localhost/${name}:[0-9a-f]{12}$' | tail -n 1); ${images} tag --force "$image" ${REGISTRY}/${name}:${version}`);
  }
  const began = Date.now();
  for (const command of commands) {
    const { stdout } = await shell(command);
    console.log(`${((Date.now() - began) / 1000).toFixed(1)} s: ${command.slice(0, 60)}… ${stdout.trim().split("\n").at(-1)}`);
  }
  // And the two that follow: the chart's own test, and a client of one's own.
  const { stdout, stderr } = await shell(`helm test bannou -n ${SYSTEM}`);
  assert.match(stdout, /Phase: +Succeeded/);
  assert.match(stdout + stderr, /a gateway greets, with [0-9]+ endpoints/);
  const gateway = await forward(SYSTEM, "service/bannou-gateway", 8080);
  const client = new Client(`ws://127.0.0.1:${gateway.port}/connect`, { WebSocket });
  try {
    await client.open();
    const answer = await client.call("account.create", JSON.stringify({ name: "Ada" }));
    assert.ok(answer.json().id, answer.text());
  } finally {
    await client.close();
    gateway.close();
  }
  // Whoever runs `helm test` before any gateway is ready is told so, with what to do; the Pod stays to be looked at.
  await kubectl("-n", SYSTEM, "scale", "deploy/bannou-gateway", "--replicas=0");
  await until("no gateway is left", async () => (await kubectl("-n", SYSTEM, "get", "pods", "-l", "app.kubernetes.io/component=gateway", "-o", "name")) === "", 90_000);
  await assert.rejects(shell(`helm test bannou -n ${SYSTEM}`));
  assert.match(await kubectl("-n", SYSTEM, "logs", "bannou-test"), /cannot be reached/);
  await kubectl("-n", SYSTEM, "delete", "pod", "bannou-test");
});
