// The bar: where the connection stands, how fast it is, and the buttons that break and mend it.
import { $, copy, toast } from "./dom.js";
import { formatMs } from "./format.js";

const PING_EVERY_MS = 2000;
const KEPT_PINGS = 40;

const WORDS = { idle: "starting", connecting: "connecting", open: "connected", waiting: "waiting", closed: "closed" };

export function startConnection(client, calls) {
  const box = $("#connection");
  const toggleButton = $("#toggle-connection");
  const drop = $("#drop");
  let retryAt = 0;
  let countdown;
  /** Why the last connection ended, as the gateway said it. */
  let detail = "";

  const draw = () => {
    const { state } = client;
    box.dataset.state = state;
    // The text that a screen reader hears changes with the state alone, not with the countdown.
    if ($("#state").textContent !== WORDS[state]) $("#state").textContent = WORDS[state];
    const left = Math.max(0, retryAt - performance.now());
    const again = state === "waiting" ? `again in ${formatMs(left)}` : "";
    $("#state-detail").textContent = state === "open" ? location.host : [detail, again].filter(Boolean).join(" · ");
    toggleButton.textContent = state === "waiting" ? "Retry now" : state === "closed" || state === "idle" ? "Connect" : "Disconnect";
    toggleButton.classList.toggle("primary", state === "closed" || state === "waiting");
    drop.disabled = state !== "open";
    document.title = state === "open" ? "Bannou playground" : `${WORDS[state]} · Bannou playground`;
  };

  client.on("state", (change) => {
    clearInterval(countdown);
    if (change.state === "waiting") {
      retryAt = performance.now() + change.delayMs;
      countdown = setInterval(draw, 100);
    }
    if (change.state === "waiting" || change.state === "closed") {
      detail = change.code === 1000 ? "" : [change.reason, change.code && `code ${change.code}`].filter(Boolean).join(", ");
    }
    draw();
  });
  client.on("going_away", ({ afterMs, reason }) => toast(`The gateway is going away${reason ? ` (${reason})` : ""}: moving in ${formatMs(afterMs ?? 0)}`));
  client.on("closing", ({ code, reason, reconnect }) => toast(`The gateway closes: ${reason ?? code} (reconnect: ${reconnect})`, "bad"));
  client.on("refused", ({ status, title, detail }) => toast(`Refused with ${status}: ${detail ?? title ?? ""}`, "bad"));

  const toggle = () => {
    if (client.state === "closed" || client.state === "idle" || client.state === "waiting") client.open().catch(() => {});
    else client.close();
  };
  toggleButton.addEventListener("click", toggle);
  drop.addEventListener("click", () => client.interrupt());

  const facts = () => {
    const { sessionId, revision } = client.session;
    $("#fact-session").textContent = sessionId ? sessionId.slice(0, 8) : "–";
    $("#fact-session").title = sessionId ? `${sessionId} (click to copy the client_id)` : "";
    $("#fact-revision").textContent = sessionId ? String(revision) : "–";
  };
  $("#fact-session").addEventListener("click", () => client.session.clientId && copy(client.session.clientId));
  client.on("discovery", facts);
  client.on("update", facts);
  calls.onFlight((count) => ($("#fact-flight").textContent = String(count)));

  startPings(client);
  draw();
  return { toggle };
}

/** Pings as long as somebody looks, and draws how long they took. */
function startPings(client) {
  /** @type {number[]} */
  let kept = [];
  let waiting = false;
  const spark = $("#spark");

  const ping = async () => {
    if (waiting || document.hidden || client.state !== "open") return;
    waiting = true;
    try {
      kept.push(await client.ping());
      kept = kept.slice(-KEPT_PINGS);
      draw();
    } catch {
      // The state says what became of the connection.
    } finally {
      waiting = false;
    }
  };
  const draw = () => {
    const top = Math.max(...kept, 1) * 1.15;
    const points = kept.map((ms, index) => {
      const x = kept.length < 2 ? 120 : 120 - (kept.length - 1 - index) * (120 / (KEPT_PINGS - 1));
      return `${x.toFixed(1)},${(26 - (ms / top) * 24).toFixed(1)}`;
    });
    const [first] = points[0].split(",");
    const shape = (tag, attributes) => {
      const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
      for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
      return element;
    };
    spark.replaceChildren(
      shape("polygon", { points: `${first},28 ${points.join(" ")} 120,28`, class: "spark-area" }),
      shape("polyline", { points: points.join(" "), class: "spark-line", "vector-effect": "non-scaling-stroke" }),
    );
    $("#latency").textContent = formatMs(kept.at(-1));
    const sorted = [...kept].sort((a, b) => a - b);
    $("#latency-range").textContent = `median ${formatMs(sorted[sorted.length >> 1])}`;
  };
  client.on("discovery", () => {
    kept = [];
    ping();
  });
  setInterval(ping, PING_EVERY_MS);
}
