// The media connection: what a service hands out for traffic that should not pass the gateway. A page cannot open TCP, so the
// demo relays it; a native client does what the code on this page shows.
import { $, copy, h, icon, toast } from "./dom.js";
import { formatMs } from "./format.js";
import { snippets } from "./snippets.js";

const CONNECT = "game.connect";
const KEPT_LINES = 100;
/** Positions are sent at most this often, as a game would. */
const EVERY_MS = 33;

export function startMedia(client, config, { account }) {
  /** @type {WebSocket | undefined} */
  let socket;
  let grant;
  let language = "node";
  let sequence = 0;
  /** sequence → when it was sent */
  const sentAt = new Map();

  const open = h("button", { id: "media-open", type: "button", class: "primary", text: "Open the media connection" });
  const close = h("button", { id: "media-close", type: "button", text: "Close", hidden: true });
  const status = h("span", { id: "media-status", class: "muted", role: "status" });
  const locked = h("div", { class: "callout", hidden: true },
    h("p", {}, h("strong", { text: `${CONNECT} is locked. ` }), "Log in and it unlocks, without a new connection."),
    h("button", { type: "button", class: "primary", text: "Log in", onclick: () => account.logIn() }));
  const canvas = h("canvas", { id: "arena", width: 640, height: 260, tabindex: "0", role: "img", "aria-label": "Arena: move the pointer here, or use the arrow keys, to send positions" });
  const figures = h("dl", { class: "figures" });
  const log = h("pre", { id: "media-log", class: "media-log", tabindex: "0", "aria-label": "Lines of the media connection" });
  const live = h("div", { class: "media-live", hidden: true },
    h("div", { class: "arena" }, canvas, h("p", { class: "muted", text: "Move the pointer in here, or focus it and use the arrow keys. The outline is what you sent; the disc is what the game server echoed." })), figures, log);
  const code = h("pre", { class: "code", tabindex: "0" });
  const languages = h("div", { class: "segments", role: "radiogroup", "aria-label": "Language" },
    ...Object.entries(snippets).map(([value, { title }]) =>
      h("label", {}, h("input", { type: "radio", name: "language", value, checked: value === language, onchange: () => { language = value; drawCode(); } }), h("span", { text: title }))));
  const copyCode = h("button", { type: "button", class: "quiet small icon", "aria-label": "Copy the code", onclick: () => copy(code.textContent) }, icon("copy"));
  $("#panel-media").append(
    h("div", { class: "media-head" },
      h("p", {}, "Fast traffic does not have to pass the gateway: ", h("code", { text: CONNECT }), " answers with an address and a token, and the client connects there by itself."),
      locked, h("div", { class: "row-of" }, open, close, status)),
    live,
    h("section", { class: "native" }, h("div", { class: "payload-head" }, h("h3", { text: "What a native client does" }), h("span", { class: "spacer" }), languages, copyCode), code));

  const drawCode = () => {
    const [host, port] = (grant?.tcp_url ?? "127.0.0.1:7777").replace(/^tcp:\/\//, "").split(":");
    code.textContent = snippets[language].code({ host, port, token: grant?.auth_token ?? "<auth_token>" });
  };
  const draw = () => {
    const possible = client.services.has(CONNECT) && client.state === "open";
    locked.hidden = possible || client.state !== "open";
    open.disabled = !possible || socket !== undefined;
    open.hidden = socket !== undefined;
    close.hidden = socket === undefined;
  };
  const line = (arrow, text) => {
    const kept = log.textContent.split("\n").slice(-KEPT_LINES);
    log.textContent = [...kept, `${arrow} ${text}`].join("\n").trimStart();
    log.scrollTop = log.scrollHeight;
  };
  const figure = (name, value) => h("div", {}, h("dt", { text: name }), h("dd", { text: value }));

  const arena = startArena(canvas, (x, y) => {
    if (socket?.readyState !== WebSocket.OPEN || status.dataset.ready !== "yes") return false;
    const text = JSON.stringify({ seq: ++sequence, x, y });
    sentAt.set(sequence, performance.now());
    if (sentAt.size > 1000) sentAt.delete(sentAt.keys().next().value);
    socket.send(text);
    line("→", text);
    return true;
  });

  const received = (text) => {
    line("←", text);
    if (status.dataset.ready !== "yes") {
      if (text !== "ok") return say(`refused: ${text}`);
      status.dataset.ready = "yes";
      say("open: the game server said ok");
      arena.start();
      return;
    }
    try {
      const { seq, x, y } = JSON.parse(text);
      arena.echoed(x, y);
      const tookMs = performance.now() - (sentAt.get(seq) ?? performance.now());
      sentAt.delete(seq);
      figures.replaceChildren(figure("position", `${x.toFixed(2)}, ${y.toFixed(2)}`), figure("round trip", formatMs(tookMs)), figure("sent", String(sequence)));
    } catch {
      // A line that is no position is in the log all the same.
    }
  };
  const say = (text) => (status.textContent = text);

  open.addEventListener("click", async () => {
    open.disabled = true;
    say("asking for an address");
    try {
      grant = (await client.call(CONNECT, {})).json();
    } catch (error) {
      toast(error.message, "bad");
      say("");
      return draw();
    }
    drawCode();
    line("·", `${CONNECT} answered ${JSON.stringify({ ...grant, auth_token: `${String(grant.auth_token).slice(0, 6)}…` })}`);
    live.hidden = false;
    if (!config.media) {
      say(`the server listens on ${grant.tcp_url}; this page has no relay to it`);
      return draw();
    }
    status.dataset.ready = "no";
    sequence = 0;
    sentAt.clear();
    say(`connecting to ${grant.tcp_url}`);
    const relay = (socket = new WebSocket(new URL(config.media, location.href).href.replace(/^http/, "ws")));
    relay.onopen = () => relay.send(JSON.stringify({ tcp_url: grant.tcp_url, auth_token: grant.auth_token }));
    relay.onmessage = ({ data }) => received(String(data).trimEnd());
    relay.onclose = ({ code: closeCode, reason }) => {
      if (socket !== relay) return;
      socket = undefined;
      status.dataset.ready = "no";
      arena.stop();
      say(`closed (${closeCode}${reason ? `, ${reason}` : ""})`);
      draw();
    };
    draw();
  });
  close.addEventListener("click", () => socket?.close());
  client.on("discovery", draw);
  client.on("update", draw);
  client.on("state", draw);
  drawCode();
  draw();
}

/**
 * A field of play: what was sent, and what came back.
 *
 * @param {HTMLCanvasElement} canvas
 * @param {(x: number, y: number) => boolean} moved  0 to 1 each; whether it was sent
 */
function startArena(canvas, moved) {
  const context = canvas.getContext("2d");
  let mine = { x: 0.5, y: 0.5 };
  let theirs;
  let trail = [];
  let lastAt = -Infinity;
  let running = false;
  let later;

  const frame = () => {
    if (!running) return;
    const style = getComputedStyle(canvas);
    const { width, height } = canvas;
    const at = ({ x, y }) => [x * width, y * height];
    context.clearRect(0, 0, width, height);
    context.strokeStyle = style.getPropertyValue("--line");
    context.beginPath();
    for (let x = 40; x < width; x += 40) context.rect(x, 0, 0, height);
    for (let y = 40; y < height; y += 40) context.rect(0, y, width, 0);
    context.stroke();
    trail.forEach((point, index) => {
      context.globalAlpha = (index / trail.length) * 0.5;
      context.fillStyle = style.getPropertyValue("--accent");
      context.beginPath();
      context.arc(...at(point), 3, 0, 7);
      context.fill();
    });
    context.globalAlpha = 1;
    if (theirs) {
      context.fillStyle = style.getPropertyValue("--accent");
      context.beginPath();
      context.arc(...at(theirs), 9, 0, 7);
      context.fill();
    }
    context.strokeStyle = style.getPropertyValue("--ink");
    context.lineWidth = 1.5;
    context.beginPath();
    context.arc(...at(mine), 13, 0, 7);
    context.stroke();
    context.lineWidth = 1;
    requestAnimationFrame(frame);
  };

  const move = (x, y) => {
    mine = { x: Math.min(1, Math.max(0, x)), y: Math.min(1, Math.max(0, y)) };
    clearTimeout(later);
    const send = () => {
      lastAt = performance.now();
      moved(mine.x, mine.y);
    };
    const waitMs = lastAt + EVERY_MS - performance.now();
    // The last position of a movement counts most: it is sent late rather than never.
    if (waitMs > 0) later = setTimeout(send, waitMs);
    else send();
  };
  canvas.addEventListener("pointermove", (event) => {
    const box = canvas.getBoundingClientRect();
    move((event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height);
  });
  canvas.addEventListener("keydown", (event) => {
    const steps = { ArrowLeft: [-0.03, 0], ArrowRight: [0.03, 0], ArrowUp: [0, -0.05], ArrowDown: [0, 0.05] };
    const step = steps[event.key];
    if (!step) return;
    event.preventDefault();
    move(mine.x + step[0], mine.y + step[1]);
  });

  return {
    start() {
      running = true;
      theirs = undefined;
      trail = [];
      requestAnimationFrame(frame);
      move(0.5, 0.5);
    },
    stop() {
      running = false;
      clearTimeout(later);
    },
    echoed(x, y) {
      theirs = { x, y };
      trail.push(theirs);
      trail = trail.slice(-60);
    },
  };
}
