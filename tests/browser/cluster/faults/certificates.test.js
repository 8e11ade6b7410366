// Certificates that are replaced while everything runs, with 200 clients under load throughout, as in gateways.test.js.
import assert from "node:assert/strict";
import { after, before } from "node:test";
import { join } from "node:path";
import { Authority } from "../certificates.js";
import { Crowd } from "../crowd.js";
import { allLinked, crowd, everyCallHasEnded, fault, pods, ready, toldOfANewExposure, uids } from "../support.js";
import { SYSTEM, expose, forward, helm, kubectl, until } from "../kubernetes.js";
import { root } from "../node.js";

let authority;
before(async () => void (authority = await Authority.create()));
after(() => authority?.close());

const upgrade = (...values) => helm("upgrade", "bannou", join(root, "charts/bannou"), "-n", SYSTEM, "--reuse-values", "--wait", "--timeout=150s", ...values);
const OPERATOR = "bannou-operator.bannou-system.svc";

fault("the operator's certificate is replaced", {}, async () => {
  const [first, second] = [await authority.sign(`DNS:${OPERATOR}`), await authority.sign(`DNS:${OPERATOR}`)];
  /** What each of its Pods shows to those who dial it. */
  const served = async () => Promise.all((await pods("operator")).map(async ({ metadata }) => {
    const way = await forward(SYSTEM, `pod/${metadata.name}`, 9443);
    try {
      return await authority.served("127.0.0.1", way.port, OPERATOR);
    } finally {
      way.close();
    }
  }));
  // One of them may be on its way out, with what it had.
  const all = async (fingerprint) => (await served().catch(() => [undefined])).every((each) => each === fingerprint);
  await authority.put(SYSTEM, "operator-tls", first);
  await upgrade("--set", "operator.tls.secretName=operator-tls");
  try {
    await ready();
    await until("each operator shows it", () => all(first.fingerprint));
    await until("every gateway is linked by it", allLinked);
    const [operators, gateways] = [await uids("operator"), await uids("gateway")];
    await authority.put(SYSTEM, "operator-tls", second);
    const began = Date.now();
    await until("each operator shows the new one", () => all(second.fingerprint));
    const shown = Date.now() - began;
    assert.ok(await allLinked(), "links that are open stay");
    const told = await toldOfANewExposure();
    assert.deepEqual([await uids("operator"), await uids("gateway")], [operators, gateways], "nothing was restarted");
    // And they come back to it.
    await kubectl("-n", SYSTEM, "delete", "pod", "-l", "app.kubernetes.io/component=operator", "--grace-period=0", "--force");
    await ready();
    await until("every gateway is linked again", allLinked);
    return { shown_after_ms: shown, told_after_ms: told, again_told_after_ms: await toldOfANewExposure() };
  } finally {
    await upgrade("--set", "operator.tls.secretName=");
    await kubectl("-n", SYSTEM, "delete", "secret", "operator-tls");
  }
});

// TLS is all of a gateway's port or nothing of it: these are gateways of their own, of another fleet, which few clients use beside the crowd.
fault("a gateway's certificate is replaced", {}, async () => {
  const [address, port] = [process.env.BANNOU_NODE_ADDRESS, 30443];
  const [first, second] = [await authority.sign(`IP:${address}`), await authority.sign(`IP:${address}`)];
  const image = (await pods("gateway"))[0].spec.containers.find(({ name }) => name === "gateway").image;
  await kubectl("create", "namespace", "chess");
  let few;
  try {
    await authority.put("chess", "gateway-tls", first);
    await helm("install", "chess", join(root, "charts/bannou"), "-n", "chess", "-f", join(root, "charts/bannou/examples/second-fleet.yaml"), "--wait", "--timeout=120s",
      "--set", `images.registry=localhost,gateway.image.tag=${image.split(":").at(-1)},gateway.drainSeconds=1,gateway.preStopSeconds=1`,
      "--set", `gateway.tls.secretName=gateway-tls,gateway.service.type=NodePort,gateway.service.nodePort=${port}`,
      "--set-json", 'tiers.anonymous.allowedExposures={"namespaces":{"from":"All"},"sources":["Resource"]}');
    await expose("chess", "bytes", { serviceName: "echo", fleet: "chess", idempotent: true });
    await kubectl("wait", "sexp/chess", "--for=condition=Programmed", "--timeout=60s");
    few = new Crowd(`wss://${address}:${port}/connect`, undefined, { size: 20, options: { socketOptions: { ca: authority.certificate } } });
    await few.start();
    await few.served();
    assert.equal(await authority.served(address, port), first.fingerprint);
    const [pod] = await pods("gateway", "chess");
    const states = [];
    for (const { client } of few.members) client.on("state", ({ state }) => states.push(state));

    await authority.put("chess", "gateway-tls", second);
    const began = Date.now();
    await until("those who come see the new one", async () => (await authority.served(address, port)) === second.fingerprint, 30_000);
    const shown = Date.now() - began;
    await few.served();
    assert.deepEqual(states, [], "who is connected stays connected");
    const [now] = await pods("gateway", "chess");
    assert.equal(now.metadata.uid, pod.metadata.uid, "nothing was restarted");
    assert.ok(now.status.containerStatuses.every(({ restartCount }) => restartCount === 0));
    // They come back through it.
    for (const { client } of few.members) client.interrupt();
    await few.served();
    await few.stop();
    assert.deepEqual(few.strange(), []);
    const { answered, unsettled } = few.summary();
    assert.equal(unsettled, 0);
    return { shown_after_ms: shown, answered };
  } finally {
    await few?.stop();
    await few?.close();
    await kubectl("delete", "sexp", "chess", "--ignore-not-found");
    await helm("uninstall", "chess", "-n", "chess", "--wait", "--ignore-not-found");
    await kubectl("delete", "namespace", "chess");
  }
});

everyCallHasEnded();
