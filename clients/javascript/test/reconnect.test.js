import assert from "node:assert/strict";
import { test } from "node:test";
import { afterClose, delay, jitter } from "../src/reconnect.js";

test("jitter spreads over the whole of a bound that doubles up to its cap", () => {
  const bounds = { baseMs: 100, capMs: 1000 };
  const largest = [0, 1, 2, 3, 4, 50].map((attempt) => jitter(attempt, () => 0.999999, bounds));
  assert.deepEqual(largest, [99, 199, 399, 799, 999, 999]);
  assert.equal(jitter(9, () => 0, bounds), 0);
});

test("the gateway's word decides, within reason", () => {
  assert.deepEqual(afterClose(1012, { code: 1012, reconnect: "resume", after_ms: 300 }), { how: "resume", afterMs: 300 });
  assert.deepEqual(afterClose(1006, { code: 4410, reconnect: "fresh" }), { how: "fresh", afterMs: 0 });
  assert.deepEqual(afterClose(1012, { code: 4403, reconnect: "no" }), { how: "no", afterMs: 0 });
  assert.equal(afterClose(1012, { code: 1012, reconnect: "sideways" }).how, "fresh");
  assert.equal(delay(1e12), 600_000);
  assert.equal(delay("soon"), 0);
  assert.equal(delay(-5), 0);
});

test("without a word, the code decides", () => {
  for (const code of [1002, 1003, 1007, 1009, 4401, 4403, 4409]) assert.equal(afterClose(code).how, "no", `${code}`);
  for (const code of [1008, 4410]) assert.equal(afterClose(code).how, "fresh", `${code}`);
  for (const code of [1001, 1006, 1012, 1013, 4408, 4503]) assert.equal(afterClose(code).how, "resume", `${code}`);
  assert.ok(afterClose(4503).afterMs > 0);
  assert.ok(afterClose(1008).afterMs > 0);
});
