// One exchange on the page, from the request to its end.
import { CallError, CancelledError, TimeoutError } from "./client/index.js";
import { arrive, copy, h, icon } from "./dom.js";
import { asText, clockTime, formatMs, formatSize, hexDump, pretty, statusName } from "./format.js";

/** More parts are counted, not shown. */
const MAX_PARTS = 200;
const MAX_SHOWN_BYTES = 65_536;

export class ExchangeCard {
  inFlight = true;
  #parts = 0;
  #size = 0;
  #shown = [];
  #abort = new AbortController();
  #startedAt = performance.now();
  #ticker;

  /**
   * @param {{ name: string, bytes: Uint8Array, oneWay?: boolean, changed: () => void }} about
   */
  constructor({ name, bytes, oneWay = false, changed }) {
    Object.assign(this, { name, bytes, oneWay, changed });
    this.badge = h("span", { class: "status flying", text: oneWay ? "one way" : "waiting" });
    this.time = h("span", { class: "mono time" });
    this.facts = h("span", { class: "muted facts-line" });
    this.stop = h("button", { type: "button", class: "quiet small", text: "Cancel", onclick: () => this.cancel() });
    this.body = h("div", { class: "card-body" });
    this.element = h("article", { class: "card", dataset: { name }, "aria-busy": "true", "aria-label": `Call of ${name}` },
      h("header", {}, this.badge, h("strong", { text: name }), this.time, this.facts, h("span", { class: "spacer" }), h("span", { class: "muted mono at", text: clockTime(Date.now()) }), this.stop),
      this.body);
    this.#ticker = setInterval(() => (this.time.textContent = formatMs(performance.now() - this.#startedAt)), 100);
  }

  /**
   * @param {import("./client/index.js").Client} client
   * @param {{ timeout: number }} options
   */
  async run(client, { timeout }) {
    try {
      if (this.oneWay) {
        client.oneWay(this.name, this.bytes);
        this.#end("good", "sent", "one way: no answer comes");
        return;
      }
      // Every call is read as a stream: one that answers whole is a stream of one part.
      for await (const part of client.stream(this.name, this.bytes, { timeout, signal: this.#abort.signal })) this.#part(part);
      this.#end("good", "OK", this.#parts > 1 ? `${this.#parts} parts` : "");
      if (this.#parts === 0) this.body.append(h("p", { class: "empty", text: "an empty answer" }));
    } catch (error) {
      this.#failed(error);
    }
  }

  cancel() {
    this.stop.disabled = true;
    this.badge.textContent = "cancelling";
    this.#abort.abort("cancelled by hand");
  }

  #part(answer) {
    this.#parts++;
    this.#size += answer.bytes.length;
    if (this.#shown.length >= MAX_PARTS) return;
    this.#shown.push(answer);
    if (this.#shown.length === 2) {
      // Only now is it known to be a stream: the first part becomes a line like the others.
      this.body.replaceChildren(h("ol", { class: "parts" }, partLine(this.#shown[0]), partLine(answer)));
    } else if (this.#shown.length > 2) {
      const list = this.body.firstElementChild;
      list.append(arrive(partLine(answer)));
      list.scrollTop = list.scrollHeight;
    } else {
      this.body.replaceChildren(payloadView(answer.bytes));
    }
    this.facts.textContent = `${this.#parts} ${this.#parts === 1 ? "part" : "parts"} so far · ${formatSize(this.#size)}`;
  }

  #failed(error) {
    if (error instanceof CancelledError) {
      this.#end("warn", "499 cancelled", error.confirmed ? "confirmed by the other side" : error.answer ? "the answer had left already" : "not confirmed");
    } else if (error instanceof TimeoutError) {
      this.#end("warn", "deadline passed", "a cancel was sent");
    } else if (error instanceof CallError) {
      this.#end("bad", `${error.status} ${statusName(error.status)}`, error.problem ? "from the gateway" : "from the service");
      if (error.body.length > 0) this.body.append(payloadView(error.body));
    } else {
      this.#end("bad", error.name, error.message);
    }
  }

  #end(tone, label, fact) {
    clearInterval(this.#ticker);
    this.inFlight = false;
    this.badge.className = `status ${tone}`;
    this.badge.textContent = label;
    this.time.textContent = this.oneWay ? "" : formatMs(performance.now() - this.#startedAt);
    this.facts.textContent = [fact, this.#size > 0 && formatSize(this.#size)].filter(Boolean).join(" · ");
    this.stop.remove();
    this.element.setAttribute("aria-busy", "false");
    this.changed();
  }
}

function partLine(answer) {
  return h("li", {}, h("span", { class: "mono muted", text: `+${formatMs(answer.latencyMs)}` }), h("code", { text: oneLine(answer.bytes) }), h("span", { class: "muted", text: formatSize(answer.bytes.length) }));
}

/** @param {Uint8Array} bytes */
export function oneLine(bytes, max = 300) {
  const text = asText(bytes.subarray(0, max * 4));
  const line = (text ?? hexDump(bytes.subarray(0, 16)).slice(6, 53)).trim();
  return line.length > max ? `${line.slice(0, max)}…` : line;
}

/**
 * A payload with the ways to look at it.
 *
 * @param {Uint8Array} bytes
 */
export function payloadView(bytes) {
  const shown = bytes.subarray(0, MAX_SHOWN_BYTES);
  const pre = h("pre", { class: "body", tabindex: "0", "aria-label": "Answer" });
  const views = { pretty: () => pretty(shown).text, text: () => new TextDecoder().decode(shown), hex: () => hexDump(shown) };
  const buttons = Object.keys(views).map((view) =>
    h("button", { type: "button", class: "quiet small", text: view, "aria-pressed": String(view === "pretty"), onclick: () => show(view) }));
  const show = (view) => {
    pre.textContent = views[view]();
    for (const button of buttons) button.setAttribute("aria-pressed", String(button.textContent === view));
  };
  show("pretty");
  const copyButton = h("button", { type: "button", class: "quiet small icon", "aria-label": "Copy the payload", onclick: () => copy(pre.textContent) }, icon("copy"));
  return h("div", { class: "payload-view" }, pre, h("div", { class: "views" }, ...buttons, copyButton));
}
