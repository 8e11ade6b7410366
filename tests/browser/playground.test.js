// The playground in a real browser, served by the real `bannou dev`: two tabs are two peers.
import assert from "node:assert/strict";
import { copyFileSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";
import { startGateway } from "../javascript/gateway.js";

const root = fileURLToPath(new URL("../..", import.meta.url));
const shots = join(root, "build", "screenshots");
const FLAGS =
  "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync";

let gateway;
let context;
let profile;
/** What a page complained about. */
const complaints = [];

before(async () => {
  mkdirSync(shots, { recursive: true });
  profile = mkdtempSync(join(tmpdir(), "bannou-chromium-"));
  gateway = await startGateway();
  context = await chromium.launchPersistentContext(profile, {
    executablePath: process.env.CHROMIUM ?? process.env.BANNOU_CHROMIUM ?? "/usr/bin/chromium",
    args: FLAGS.split(" "),
    viewport: { width: 1440, height: 900 },
    colorScheme: "light",
    permissions: ["clipboard-read", "clipboard-write"],
  });
  context.setDefaultTimeout(30_000);
  context.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) complaints.push(message.text());
  });
  context.on("weberror", (error) => complaints.push(String(error.error())));
});

after(async () => {
  await context?.close();
  await gateway?.stop();
  if (profile) rmSync(profile, { recursive: true, force: true, maxRetries: 3 });
});

/** A tab whose client is connected, closed when the test ends. */
async function tab(t) {
  const page = await context.newPage();
  t.after(() => page.close());
  await page.goto(gateway.url);
  await page.locator('#connection[data-state="open"]').waitFor();
  return page;
}

const service = (page, name) => page.locator(`#services [data-name="${name}"]`);
const unlocked = (page, name) => page.locator(`#services [data-name="${name}"]:not(.locked)`);

async function logIn(page) {
  await page.locator("#login-submit").click();
  await unlocked(page, "game.connect").waitFor();
}

/** Calls what is chosen and waits for its end. @returns the card */
async function send(page) {
  await page.locator("#send").click();
  const card = page.locator("#answers > article").first();
  await page.locator('#answers > article:first-child[aria-busy="false"]').waitFor();
  return card;
}

const shot = async (page, name) => {
  await page.bringToFront();
  await page.screenshot({ path: join(shots, `${name}.png`) });
};

test("it connects by itself and shows what is open and what is locked", async (t) => {
  const page = await tab(t);
  await unlocked(page, "echo.bytes").waitFor();
  assert.match(await service(page, "game.connect").getAttribute("class"), /locked/);
  assert.match(await service(page, "game.connect").getAttribute("aria-label"), /locked/);
  await page.locator("#wire-list .row", { hasText: "service_discovery" }).waitFor();
  await page.locator("#latency", { hasText: "ms" }).waitFor();
  await shot(page, "1-connected");
});

test("a call with a payload of one's own: answer, latency, and each frame's 24 bytes", async (t) => {
  const page = await tab(t);
  await service(page, "echo.bytes").click();
  await page.locator('input[name="format"][value="hex"]').check({ force: true });
  await page.locator("#payload").fill("00 ff 2a");
  const card = await send(page);
  assert.match(await card.locator(".status").textContent(), /OK/);
  assert.match(await card.locator(".time").textContent(), /ms|s/);
  assert.match(await card.locator("pre").textContent(), /00 ff 2a/);

  const rows = page.locator("#wire-list .row.data");
  await rows.nth(1).waitFor();
  const [request, answer] = await rows.locator(".hex").allTextContents();
  const bytes = request.match(/[0-9a-f]{2}/g);
  assert.equal(bytes.length, 24);
  assert.equal(bytes.slice(16).join(""), "0000000000000001");
  assert.equal(answer, request, "the answer carries handle and Message ID of its request");
  assert.match(await page.locator("#inspector").textContent(), /echo\.bytes/);
  const handle = await page.locator("#inspector .frame-facts code").first().textContent();
  assert.equal(handle.replaceAll("-", ""), bytes.slice(0, 16).join(""));

  await page.locator("#payload").fill("zz");
  await page.locator("#payload-note.bad").waitFor();
  assert.ok(await page.locator("#send").isDisabled());
});

test("a login unlocks more, marked as new", async (t) => {
  const page = await tab(t);
  await page.locator('input[name="password"]').fill("wrong");
  await page.locator("#login-submit").click();
  await page.locator(".toast.bad", { hasText: "wrong" }).waitFor();
  await page.locator('input[name="password"]').fill("lovelace");
  await page.locator("#login-submit").click();
  await page.locator('#services [data-name="game.connect"].new').waitFor();
  await page.locator(".toast.good", { hasText: "game.connect" }).waitFor();
  await page.locator("#login .greeting", { hasText: "ada" }).waitFor();
  await service(page, "account.get").click();
  assert.match(await (await send(page)).locator(".status").textContent(), /OK/);
  await shot(page, "2-logged-in");

  await page.getByRole("button", { name: "Log out" }).click();
  await page.locator('#services [data-name="game.connect"].locked').waitFor();
});

test("a service's own error, a stream part by part, a cancel, a deadline", async (t) => {
  const page = await tab(t);
  await service(page, "echo.fail").click();
  await page.locator("#payload").fill('{"status":418,"body":{"reason":"teapot"}}');
  const failed = await send(page);
  assert.match(await failed.locator(".status").textContent(), /418/);
  assert.match(await failed.locator("pre").textContent(), /teapot/);

  await service(page, "echo.stream").click();
  await page.locator("#payload").fill('{"parts":5,"ms":300}');
  await page.locator("#send").click();
  await page.locator('#answers article[aria-busy="true"] .parts li').nth(1).waitFor();
  await shot(page, "3-stream");
  await page.locator('#answers article[data-name="echo.stream"][aria-busy="false"]').waitFor();
  assert.ok((await page.locator('#answers article[data-name="echo.stream"] .parts li').count()) >= 2);
  await page.locator("#wire-list .flag.more").first().waitFor();

  await service(page, "echo.slow").click();
  await page.locator("#payload").fill('{"ms":20000}');
  await page.locator("#payload").press("Control+Enter");
  await page.locator('#answers article[data-name="echo.slow"][aria-busy="true"]').waitFor();
  await page.keyboard.press("Escape");
  const cancelled = page.locator('#answers article[data-name="echo.slow"][aria-busy="false"]').first();
  await cancelled.waitFor();
  assert.match(await cancelled.textContent(), /499 cancelled.*confirmed/);

  await page.locator("#deadline").fill("0.2");
  assert.match(await (await send(page)).locator(".status").textContent(), /deadline passed/);
});

test("what a service tells arrives, wherever one looks; what it asks is answered by hand", async (t) => {
  const page = await tab(t);
  await logIn(page);
  await service(page, "game.find_match").click();
  await send(page);
  await page.locator(".toast", { hasText: "game.match_found" }).waitFor();
  await page.locator("#events-badge.urgent").waitFor();
  await page.locator("#tab-events").click();
  assert.equal(await page.locator(".toast", { hasText: "game.match_found" }).count(), 0, "who looks needs no word of it");
  const asked = page.locator('#event-feed article[data-name="game.ready_check"][aria-busy="true"]');
  await asked.locator(".time", { hasText: "s left" }).waitFor();
  await shot(page, "9-events");
  await asked.getByRole("button", { name: "Yes" }).click();
  const outcome = page.locator('#event-feed article[data-name="game.match_found"]', { hasText: "starting" });
  await outcome.waitFor();
  assert.match(await page.locator('#event-feed article[data-name="game.ready_check"]').textContent(), /you answered.*"ready":true/s);
  await page.locator("#events-badge").waitFor({ state: "hidden" });
  await page.locator("#wire-list .row.data", { hasText: "game.ready_check" }).nth(1).waitFor();
  for (const flag of ["inbound", "logged"]) await page.locator(`#wire-list .flag.${flag}`).first().waitFor();
});

test("two tabs: a notice reaches both, a question the one it is for; yes, no, a refusal and no answer", async (t) => {
  const [left, right] = [await tab(t), await tab(t)];
  for (const page of [left, right]) {
    await page.bringToFront();
    await logIn(page);
    await page.locator("#tab-events").click();
  }
  await right.locator('#event-form input[value="all"]').check({ force: true });
  await right.locator("#event-payload").fill('{"text":"to all of you"}');
  await right.locator("#event-send").click();
  await right.locator('#event-feed article[data-kind="sent"] .status.good', { hasText: "delivered to 2 clients" }).waitFor();
  for (const page of [left, right]) await page.locator('#event-feed article[data-kind="push"]', { hasText: "to all of you" }).waitFor();

  const address = await left.evaluate(async () => {
    document.querySelector("#fact-session").click();
    return navigator.clipboard.readText();
  });
  await right.locator('#event-form input[value="client"]').check({ force: true });
  await right.locator("#event-send:disabled").waitFor();
  await right.getByLabel("client_id").fill(address);
  await right.locator("#event-name").fill("game.ready_check");
  await right.locator("#event-kind", { hasText: "a request" }).waitFor();
  const sent = right.locator('#event-feed article[data-kind="sent"]').first();
  for (const [button, badge, word] of [["Yes", "200 answered", '"ready": true'], ["No", "200 answered", '"ready": false'], ["Refuse", "409 conflict", "refused by a person"]]) {
    await right.bringToFront();
    await right.locator("#event-send").click();
    await left.bringToFront();
    await left.locator('#event-feed article[aria-busy="true"]').getByRole("button", { name: button }).click();
    await right.bringToFront();
    await sent.locator(".status", { hasText: badge }).waitFor();
    assert.ok((await sent.textContent()).includes(word), `${word} in ${await sent.textContent()}`);
  }
  await shot(right, "10-sent");
  assert.equal(await right.locator('#event-feed article[data-kind="request"]').count(), 0);

  await right.locator("#event-send").click();
  await sent.locator(".status.bad", { hasText: "408 deadline passed" }).waitFor();
  await left.locator('#event-feed article[data-kind="request"] .status.bad', { hasText: "too late (408)" }).first().waitFor();

  await right.locator("#event-name").fill("game.no_such");
  await right.locator("#event-send").click();
  await sent.locator(".status.bad", { hasText: "40" }).waitFor();
  await right.locator("#event-payload").fill("{");
  await right.locator("#event-send:disabled").waitFor();
  const failures = complaints.splice(0).filter((line) => !/status of 4\d\d/.test(line));
  assert.deepEqual(failures, [], "the browser itself tells of the answers that are errors, and of nothing else");
});

test("what arrives while the connection is broken is there after it", async (t) => {
  const page = await tab(t);
  await page.locator("#tab-events").click();
  await page.locator('#event-form input[value="all"]').check({ force: true });
  await page.evaluate(() => {
    document.querySelector("#drop").click();
    document.querySelector("#event-send").click();
  });
  await page.locator("#wire-list .row", { hasText: "resumed" }).waitFor();
  await page.locator('#event-feed article[data-kind="push"]', { hasText: "Hello, everybody" }).waitFor();
  assert.equal(await page.locator('#event-feed article[data-kind="push"]').count(), 1);
});

test("two tabs are two peers: they talk, ask, answer and part", async (t) => {
  const [left, right] = [await tab(t), await tab(t)];
  for (const page of [left, right]) {
    await page.bringToFront();
    await logIn(page);
    await page.locator("#tab-chat").click();
    await page.locator("#room").fill("the-test");
    await page.locator("#join").click();
    await page.locator("#room-note", { hasText: "joined" }).waitFor();
  }
  await left.locator(".peer").nth(1).waitFor();
  await left.locator("#chat-text").fill("hello from the left");
  await left.locator("#chat-text").press("Enter");
  await right.locator(".bubble:not(.mine)", { hasText: "hello from the left" }).waitFor();
  await right.locator("#chat-text").fill("hello yourself");
  await right.locator("#say").click();
  await left.locator(".bubble:not(.mine)", { hasText: "hello yourself" }).waitFor();

  await right.locator("#chat-text").fill("Another round?");
  await right.locator("#ask").click();
  await left.locator(".reply input").fill("Gladly");
  await left.getByRole("button", { name: "Answer" }).click();
  await right.locator(".outcome .status.good").waitFor();
  assert.match(await right.locator(".bubble.mine .answer-text").last().textContent(), /Gladly/);
  await shot(left, "4-peers");
  if (process.env.BANNOU_DOCS_IMAGES) {
    mkdirSync(join(root, "docs", "images"), { recursive: true });
    await left.waitForFunction(() => document.querySelectorAll(".toast").length === 0);
    await shot(left, "4-peers");
    copyFileSync(join(shots, "4-peers.png"), join(root, "docs", "images", "playground.png"));
  }

  await right.close();
  await left.locator(".chat-note", { hasText: "is gone" }).waitFor();
});

test("the media connection opens and echoes positions", async (t) => {
  const page = await tab(t);
  await page.locator("#tab-media").click();
  await page.locator("#panel-media .callout button").click();
  await page.locator("#media-open:enabled").click();
  await page.locator("#media-status", { hasText: "ok" }).waitFor();
  await page.locator("#arena").scrollIntoViewIfNeeded();
  const box = await page.locator("#arena").boundingBox();
  for (let step = 0; step <= 12; step++) {
    await page.mouse.move(box.x + 60 + step * 30, box.y + box.height / 2 + Math.sin(step / 2) * 50, { steps: 3 });
  }
  await page.locator("#media-log", { hasText: "←" }).waitFor();
  await page.locator("#panel-media .figures", { hasText: "round trip" }).waitFor();
  assert.match(await page.locator("#panel-media .code").textContent(), /net\.connect\(\d+, "127\.0\.0\.1"\)/);
  await shot(page, "5-media");
  await page.locator("#media-close").click();
  await page.locator("#media-status", { hasText: "closed" }).waitFor();
});

test("the keyboard does it all", async (t) => {
  const page = await tab(t);
  await unlocked(page, "echo.bytes").waitFor();
  await page.keyboard.press("/");
  await page.keyboard.type("bytes");
  await page.keyboard.press("Enter");
  assert.equal(await page.evaluate(() => document.activeElement.id), "payload");
  await page.keyboard.press("Control+Enter");
  await page.locator("#answers .status.good").waitFor();
  await page.keyboard.press("Escape");
  await page.keyboard.press("2");
  await page.locator("#event-form").waitFor();
  await page.keyboard.press("Escape");
  await page.keyboard.press("3");
  await page.locator("#panel-chat").waitFor();
  await page.keyboard.press("?");
  await page.locator("#help[open]").waitFor();
  await page.keyboard.press("Escape");
  await page.locator("#help").waitFor({ state: "hidden" });
  await page.keyboard.press("d");
  await page.locator('#connection[data-state="closed"]').waitFor();
  await page.keyboard.press("d");
  await page.locator('#connection[data-state="open"]').waitFor();
});

test("a dropped connection comes back with its session, and the log tells it", async (t) => {
  const page = await tab(t);
  const session = await page.locator("#fact-session").textContent();
  await page.locator("#drop").click();
  await page.locator("#wire-list .row", { hasText: "resumed" }).waitFor();
  await page.locator('#connection[data-state="open"]').waitFor();
  await page.locator("#wire-list .row.state", { hasText: "waiting" }).waitFor();
  assert.equal(await page.locator("#fact-session").textContent(), session);
});

test("the log is filtered, copied and cleared; tokens stay out of it", async (t) => {
  const page = await tab(t);
  await logIn(page);
  await page.locator("#wire-list .row", { hasText: "service_update" }).waitFor();
  await page.locator("#wire-filter").fill("service_");
  await page.locator("#wire-list .row.data").first().waitFor({ state: "hidden" });
  await page.locator("#wire-copy").click();
  await page.locator(".toast", { hasText: "Copied" }).waitFor();
  const lines = (await page.evaluate(() => navigator.clipboard.readText())).split("\n");
  assert.ok(lines.length >= 2);
  for (const line of lines) assert.match(line, /service_(discovery|update)/);
  assert.doesNotMatch(lines.join(), /"token":"[^"…]*"/);
  await page.locator("#wire-clear").click();
  assert.equal(await page.locator("#wire-list .row").count(), 0);
});

test("dark by the system's wish, light by the person's, also after a reload; narrow windows fit", async (t) => {
  const page = await tab(t);
  const background = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const light = await background();
  await page.emulateMedia({ colorScheme: "dark" });
  const dark = await background();
  assert.notEqual(dark, light);
  await service(page, "echo.bytes").click();
  await send(page);
  await page.evaluate(() => Promise.all(document.getAnimations().map((animation) => animation.finished.catch(() => {}))));
  await shot(page, "6-dark");
  await page.keyboard.press("Escape");
  await page.locator("#theme").click();
  assert.equal(await background(), light);
  await page.reload();
  await page.locator('#connection[data-state="open"]').waitFor();
  assert.equal(await background(), light);
  await page.evaluate(() => localStorage.clear());

  for (const [width, name] of [[1000, "7-medium"], [400, "8-narrow"]]) {
    await page.setViewportSize({ width, height: 850 });
    const wider = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    assert.ok(wider <= 0, `${wider} px wider than ${width}`);
    await shot(page, name);
  }
});

test("no page complained", () => {
  assert.deepEqual(complaints, []);
});
