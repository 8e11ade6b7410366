// Every metric that docs/operations.md tells people to watch is there, by that name, on a cluster that runs.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { WebSocket } from "ws";
import { Client } from "../../../clients/javascript/src/index.js";
import { SYSTEM, forward, getJson } from "./kubernetes.js";

/** Gauges by fleet or kind that have no sample while all is well, which an alert above zero needs none for (operator/src/metrics.rs). */
const ONLY_WHEN_WRONG = ["bannou_operator_stale", "bannou_operator_fleet_without_keys"];

async function scrape(pod) {
  const way = await forward(SYSTEM, `pod/${pod.metadata.name}`, 9080);
  try {
    return await (await fetch(`http://127.0.0.1:${way.port}/metrics`, { signal: AbortSignal.timeout(10_000) })).text();
  } finally {
    way.close();
  }
}

test("what the operators' page watches can be scraped", async () => {
  const page = readFileSync(new URL("../../../docs/operations.md", import.meta.url), "utf8");
  const names = new Set(page.match(/\bbannou_(gateway|operator)_[a-z_]+/g));
  assert.ok(names.size > 10, [...names].join());
  // A call that fails, so that there is something to count.
  const client = new Client(`ws://${process.env.BANNOU_NODE_ADDRESS}:30080/connect`, { WebSocket });
  try {
    await client.open();
    await assert.rejects(client.call("echo.fail", JSON.stringify({ status: 500, body: "no" })), (error) => error.status >= 500);
  } finally {
    await client.close();
  }
  const { items } = await getJson("pods", "-n", SYSTEM, "-l", "app.kubernetes.io/part-of=bannou");
  const scraped = (await Promise.all(items.map(scrape))).join("\n");
  // A counter's family has no ending, its samples have.
  const samples = new Set([...scraped.matchAll(/^(bannou_[a-z_]+)(?:\{| )/gm)].map(([, name]) => name));
  assert.deepEqual([...names].filter((name) => !samples.has(name) && !ONLY_WHEN_WRONG.includes(name)), [], "on the page, and on no Pod");
  assert.match(scraped, /^bannou_gateway_calls_total\{[^}]*class="5xx"[^}]*\} [1-9]/m);
});
