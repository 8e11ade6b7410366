// Peers: a room joined by a service's word, then client to client, without any service in between.
import { AnswerError } from "./client/index.js";
import { $, arrive, h } from "./dom.js";
import { clockTime, formatMs } from "./format.js";
import { oneLine } from "./exchange-card.js";

const JOIN = "chat.join";
const KEPT_LINES = 300;
/** How long an asker waits; a person has to read and answer. */
const ASK_MS = 60_000;

export function startChat(client, { tabs, account }) {
  const badge = $("#chat-badge");
  let room;
  let unread = 0;
  /** Whom the next line goes to: a label, or everybody. */
  let target = "";

  const roomInput = h("input", { id: "room", value: "lobby", "aria-label": "Room", autocomplete: "off", spellcheck: "false" });
  const join = h("button", { id: "join", type: "submit", class: "primary", text: "Join" });
  const joinForm = h("form", { class: "join" }, h("label", { class: "inline" }, "Room", roomInput), join, h("span", { class: "muted", id: "room-note" }));
  const locked = h("div", { class: "callout", hidden: true },
    h("p", {}, h("strong", { text: `${JOIN} is locked. ` }), "Log in and it unlocks, without a new connection."),
    h("button", { type: "button", class: "primary", text: "Log in", onclick: () => account.logIn() }));
  const peers = h("div", { class: "peers", role: "radiogroup", "aria-label": "Whom to talk to" });
  const lines = h("div", { id: "chat-lines", class: "chat-lines", role: "log", "aria-label": "What was said", tabindex: "0" });
  const text = h("input", { id: "chat-text", placeholder: "Say something", "aria-label": "Message", autocomplete: "off" });
  const say = h("button", { id: "say", type: "submit", class: "primary", text: "Send", title: "ONE_WAY: no answer is wanted" });
  const ask = h("button", { id: "ask", type: "button", text: "Ask", title: "A request: the other tab answers it" });
  const compose = h("form", { class: "compose" }, text, say, ask);
  $("#panel-chat").append(h("div", { class: "chat-top" }, joinForm, locked, peers), lines, compose);

  const add = (line) => {
    const atEnd = lines.scrollHeight - lines.scrollTop - lines.clientHeight < 40;
    lines.append(line);
    while (lines.children.length > KEPT_LINES) lines.firstElementChild.remove();
    if (atEnd) lines.scrollTop = lines.scrollHeight;
    return arrive(line);
  };
  const note = (...content) => add(h("p", { class: "chat-note" }, ...content));
  /** @param {string} head @param {string | undefined} label  of the peer who speaks, none for this side */
  const bubble = (head, label, body, extra) =>
    add(h("div", { class: `bubble${label === undefined ? " mine" : ""}` },
      h("div", { class: "bubble-head" }, label === undefined ? null : avatar(label), h("strong", { text: head }), h("span", { class: "muted mono", text: clockTime(Date.now()).slice(0, 8) })),
      h("div", { class: "bubble-text", text: body }), extra));
  const noticed = () => {
    if (tabs.current() === "chat" && !document.hidden) return;
    unread++;
    draw();
  };

  const draw = () => {
    const open = client.services.has(JOIN);
    locked.hidden = open || client.state !== "open";
    join.disabled = !open || client.state !== "open";
    if (target && !client.peers.has(target)) target = "";
    const everybody = [["", "everybody"], ...[...client.peers.values()].map((peer) => [peer.label, peer.label])];
    peers.replaceChildren(...(client.peers.size === 0
      ? [h("p", { class: "empty", text: room ? "Nobody else is here yet: open this page in a second tab, log in and join the same room." : "Join a room in two tabs to talk from one to the other." })]
      : everybody.map(([value, label]) => h("label", { class: "peer", title: client.peers.get(value)?.handle },
          h("input", { type: "radio", name: "peer", value, checked: value === target, onchange: () => { target = value; draw(); } }),
          value ? avatar(label) : null, h("span", { text: label })))));
    const alone = client.peers.size === 0 || client.state !== "open";
    text.disabled = say.disabled = alone;
    ask.disabled = alone;
    ask.textContent = target ? `Ask ${target}` : client.peers.size > 1 ? "Ask everybody" : "Ask";
    badge.hidden = unread === 0;
    badge.textContent = String(unread);
    badge.setAttribute("aria-label", `${unread} unread`);
  };

  const chosen = () => (target ? [client.peers.get(target)] : [...client.peers.values()]);

  joinForm.addEventListener("submit", async (event) => {
    event.preventDefault();
    join.disabled = true;
    try {
      const answer = await client.call(JOIN, { room: roomInput.value });
      room = roomInput.value;
      $("#room-note").textContent = `joined ${room} in ${formatMs(answer.latencyMs)}`;
      text.focus();
    } catch (error) {
      note(h("span", { class: "bad", text: error.message }));
    }
    draw();
  });

  compose.addEventListener("submit", (event) => {
    event.preventDefault();
    const words = text.value.trim();
    if (!words || say.disabled) return;
    for (const peer of chosen()) peer.send(words);
    bubble(target ? `you to ${target}` : "you", undefined, words);
    text.value = "";
  });

  ask.addEventListener("click", () => {
    const words = text.value.trim() || "Are you there?";
    text.value = "";
    for (const peer of chosen()) askOne(peer, words);
  });

  const askOne = async (peer, words) => {
    const abort = new AbortController();
    const withdraw = h("button", { type: "button", class: "quiet small", text: "Withdraw", onclick: () => abort.abort("withdrawn") });
    const outcome = h("div", { class: "outcome", "aria-live": "polite" }, h("span", { class: "status flying", text: "waiting" }), withdraw);
    bubble(`you ask ${peer.label}`, undefined, words, outcome);
    try {
      const answer = await peer.request(words, { timeout: ASK_MS, signal: abort.signal });
      outcome.replaceChildren(h("span", { class: "status good", text: "answered" }), h("span", { class: "answer-text", text: oneLine(answer.bytes) }), h("span", { class: "muted mono", text: formatMs(answer.latencyMs) }));
    } catch (error) {
      const label = error.status ? `${error.status}` : error.name === "CancelledError" ? "499 withdrawn" : error.name;
      outcome.replaceChildren(h("span", { class: "status bad", text: label }), h("span", { class: "answer-text", text: error.text?.() || (error.status ? "" : error.message) }));
    }
  };

  // What others ask is answered by the person who sits here.
  client.answerPeers((request) => new Promise((resolve, reject) => {
    const reply = h("input", { value: "Yes!", "aria-label": `Answer to ${request.peer.label}`, autocomplete: "off" });
    const form = h("form", { class: "outcome reply" }, reply,
      h("button", { type: "submit", class: "primary small", text: "Answer" }),
      h("button", { type: "button", class: "quiet small", text: "Refuse", onclick: () => finish("refused with 409", () => reject(new AnswerError(409, "refused by a person"))) }));
    const finish = (said, settle) => {
      form.replaceWith(h("div", { class: "outcome muted", text: said }));
      settle();
    };
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      finish(`you answered: ${reply.value}`, () => resolve(reply.value));
    });
    request.signal.addEventListener("abort", () => finish("withdrawn by the asker", () => reject(request.signal.reason)), { once: true });
    bubble(`${request.peer.label} asks`, request.peer.label, oneLine(request.bytes), form);
    noticed();
  }));

  client.on("message", ({ peer, bytes }) => {
    bubble(peer.label, peer.label, oneLine(bytes, 2000));
    noticed();
  });
  client.on("peers", ({ added, removed }) => {
    for (const { label } of added) note(h("strong", { text: label }), " is here");
    for (const { label } of removed) note(h("strong", { text: label }), " is gone");
    draw();
  });
  client.on("discovery", ({ resumed }) => {
    if (room && !resumed) {
      note("A new session: whoever was met has to be met again.");
      room = undefined;
      $("#room-note").textContent = "";
    }
    draw();
  });
  client.on("update", draw);
  client.on("state", draw);
  tabs.onShow((name) => {
    if (name !== "chat") return;
    unread = 0;
    lines.scrollTop = lines.scrollHeight;
    draw();
  });
  document.addEventListener("visibilitychange", () => {
    if (document.hidden || tabs.current() !== "chat") return;
    unread = 0;
    draw();
  });
  draw();
}

/** @param {string} label  has the same colour everywhere */
function avatar(label) {
  let hash = 0;
  for (const letter of label) hash = (hash * 31 + letter.codePointAt(0)) >>> 0;
  return h("span", { class: `avatar hue-${hash % 6}`, "aria-hidden": "true", text: label.replace(/^[^a-z0-9]*/i, "").slice(0, 1).toUpperCase() || "?" });
}
