// What became of an event that this page sent as a service would.
import { h } from "./dom.js";
import { payloadView } from "./exchange-card.js";
import { clockTime, formatMs, statusName } from "./format.js";

export class SentCard {
  isOpen = true;
  #startedAt = performance.now();

  /** @param {{ name: string, to: string, changed: () => void }} about */
  constructor({ name, to, changed }) {
    this.changed = changed;
    this.badge = h("span", { class: "status flying", text: "sent" });
    this.time = h("span", { class: "mono time" });
    this.body = h("div", { class: "card-body" });
    this.element = h("article", { class: "card", dataset: { name, kind: "sent" }, "aria-busy": "true", "aria-label": `Sent ${name}` },
      h("header", {}, this.badge, h("strong", { text: name }), this.time, h("span", { class: "muted facts-line", text: `to ${to}` }),
        h("span", { class: "spacer" }), h("span", { class: "muted mono at", text: clockTime(Date.now()) })),
      this.body);
  }

  /**
   * @param {string} url
   * @param {Uint8Array} bytes
   */
  async run(url, bytes) {
    try {
      const response = await fetch(url, { method: "POST", headers: { "content-type": "application/json" }, body: bytes });
      const answer = new Uint8Array(await response.arrayBuffer());
      const delivered = deliveredTo(response, answer);
      if (delivered !== undefined) {
        const more = response.status === 202 ? " so far" : "";
        this.#end(delivered > 0 ? "good" : "warn", `delivered to ${delivered} ${delivered === 1 ? "client" : "clients"}${more}`);
      } else {
        const name = response.ok ? "answered" : statusName(response.status);
        this.#end(response.ok ? "good" : "bad", `${response.status} ${name}`);
        if (answer.length > 0) this.body.append(payloadView(answer));
      }
    } catch (error) {
      this.#end("bad", "not sent");
      this.body.append(h("p", { class: "empty", text: error.message }));
    }
  }

  #end(tone, word) {
    this.isOpen = false;
    this.badge.className = `status ${tone}`;
    this.badge.textContent = word;
    this.time.textContent = formatMs(performance.now() - this.#startedAt);
    this.element.setAttribute("aria-busy", "false");
    this.changed();
  }
}

/** To how many a push went. What a client answered has `bannou-status` beside it, and is the client's own word. */
function deliveredTo(response, bytes) {
  if (!response.ok || response.headers.has("bannou-status")) return undefined;
  try {
    return JSON.parse(new TextDecoder().decode(bytes)).delivered;
  } catch {
    return undefined;
  }
}
