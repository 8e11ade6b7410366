// Calling one service: the payload, the deadline, and the answers in the order in which they were asked for.
import { $, arrive, h } from "./dom.js";
import { ExchangeCard } from "./exchange-card.js";
import { asText, formatSize, hex, parsePayload } from "./format.js";

const KEPT_CARDS = 40;

/**
 * What to begin with, by the demo's word for it: a string is sent as it is, anything else as JSON, `null` as nothing.
 *
 * @param {any} example
 * @returns {{ text: string, format: "json" | "text" | "hex" }}
 */
function firstDraft(example = {}) {
  if (typeof example === "string") return { text: example, format: /^\s*[[{]/.test(example) ? "json" : "text" };
  return { text: example === null ? "" : JSON.stringify(example), format: "json" };
}

export function startCalls(client, config) {
  /** name → what was written for it */
  const drafts = new Map();
  let name;
  let format = "json";
  /** @type {ExchangeCard[]} newest first */
  let cards = [];
  const flightListeners = new Set();

  const title = h("h2", { class: "call-name", text: "Choose a service" });
  const lock = h("span", { class: "lock-note", hidden: true });
  const describeButton = h("button", { type: "button", class: "quiet", text: "Describe", title: "Ask the gateway for this endpoint's schema" });
  const schema = h("pre", { class: "schema", hidden: true, tabindex: "0" });
  const payload = h("textarea", { id: "payload", class: "payload", rows: 6, spellcheck: "false", autocomplete: "off", "aria-label": "Payload", "aria-describedby": "payload-note" });
  const note = h("span", { id: "payload-note", class: "muted note" });
  const formats = h("div", { class: "segments", role: "radiogroup", "aria-label": "How the payload is written" },
    ...["json", "text", "hex"].map((value) =>
      h("label", {}, h("input", { type: "radio", name: "format", value, checked: value === format, onchange: () => setFormat(value) }), h("span", { text: value === "json" ? "JSON" : value }))));
  const deadline = h("input", { id: "deadline", type: "number", min: "0.1", max: "600", step: "any", value: "15", "aria-label": "Deadline in seconds" });
  const oneWay = h("input", { id: "one-way", type: "checkbox" });
  const send = h("button", { id: "send", class: "primary", type: "submit" }, "Send ", h("kbd", { text: "Ctrl ↵" }));
  const cancel = h("button", { id: "cancel", type: "button", disabled: true }, "Cancel ", h("kbd", { text: "Esc" }));
  const clear = h("button", { type: "button", class: "quiet", text: "Clear", hidden: true });
  const answers = h("div", { id: "answers", class: "answers", role: "feed", "aria-label": "Calls, newest first" });
  const hint = h("p", { class: "empty", text: "Answers appear here, with status and latency. Streams show part by part." });
  const form = h("form", { class: "call-form" },
    h("div", { class: "call-head" }, title, lock, h("span", { class: "spacer" }), describeButton),
    schema,
    h("div", { class: "payload-box" }, h("div", { class: "payload-head" }, h("span", { class: "label", text: "Payload" }), formats, h("span", { class: "spacer" }), note), payload),
    h("div", { class: "call-actions" },
      send, cancel,
      h("label", { class: "inline" }, "Deadline", deadline, "s"),
      h("label", { class: "inline", title: "ONE_WAY: no answer is wanted, and none is sent" }, oneWay, "one way")));
  $("#panel-call").append(form, h("div", { class: "answers-head" }, h("h3", { text: "Answers" }), h("span", { class: "spacer" }), clear), hint, answers);

  const read = () => parsePayload(payload.value, format);

  const draw = () => {
    let bytes;
    try {
      bytes = read();
      const limit = client.session.limits.message_bytes;
      note.textContent = limit && bytes.length > limit ? `${formatSize(bytes.length)}: more than the ${formatSize(limit)} that the gateway takes` : formatSize(bytes.length);
      note.classList.toggle("bad", Boolean(limit) && bytes.length > limit);
    } catch (error) {
      note.textContent = error.message;
      note.classList.add("bad");
    }
    const open = client.services.has(name);
    send.disabled = !bytes || !open || client.state !== "open";
    describeButton.disabled = !open || client.state !== "open";
    lock.hidden = open || name === undefined;
    lock.textContent = "locked: not among the services now";
    const flying = cards.filter((card) => card.inFlight).length;
    cancel.disabled = flying === 0;
    clear.hidden = cards.length === 0;
    hint.hidden = cards.length > 0;
    for (const listener of flightListeners) listener(flying);
  };

  const setFormat = (value) => {
    try {
      const bytes = read();
      if (value === "hex") payload.value = hex(bytes);
      else payload.value = asText(bytes) ?? payload.value;
    } catch {
      // What cannot be read is not rewritten.
    }
    format = value;
    draw();
  };

  const choose = (next, write) => {
    if (next !== name) {
      if (name !== undefined) drafts.set(name, { text: payload.value, format });
      name = next;
      ({ text: payload.value, format } = drafts.get(name) ?? firstDraft(config.examples[name]));
      for (const radio of formats.querySelectorAll("input")) radio.checked = radio.value === format;
      title.textContent = name;
      schema.hidden = true;
    }
    draw();
    if (write) payload.focus();
  };

  const submit = () => {
    draw();
    if (send.disabled) return payload.focus();
    const card = new ExchangeCard({ name, bytes: read(), oneWay: oneWay.checked, changed: draw });
    cards.unshift(card);
    answers.prepend(card.element);
    arrive(card.element);
    for (const old of cards.filter((each) => !each.inFlight).slice(KEPT_CARDS)) {
      old.element.remove();
      cards = cards.filter((each) => each !== old);
    }
    const seconds = Number(deadline.value);
    card.run(client, { timeout: seconds > 0 ? seconds * 1000 : 15_000 });
    draw();
  };

  const cancelNewest = () => {
    const card = cards.find((each) => each.inFlight);
    card?.cancel();
    return card !== undefined;
  };

  describeButton.addEventListener("click", async () => {
    const asked = name;
    let text;
    try {
      const { type, id, ...rest } = await client.describe(asked);
      text = JSON.stringify(rest, null, 2);
    } catch (error) {
      text = error.message;
    }
    if (asked !== name) return;
    schema.textContent = text;
    schema.hidden = false;
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    submit();
  });
  cancel.addEventListener("click", cancelNewest);
  clear.addEventListener("click", () => {
    for (const card of cards) if (!card.inFlight) card.element.remove();
    cards = cards.filter((card) => card.inFlight);
    draw();
  });
  payload.addEventListener("input", draw);
  client.on("discovery", draw);
  client.on("update", draw);
  client.on("state", draw);
  draw();

  return { choose, send: submit, cancelNewest, onFlight: (listener) => flightListeners.add(listener) };
}
