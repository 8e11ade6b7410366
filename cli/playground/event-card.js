// What a service told or asked, on the page; a request with the ways to answer it.
import { AnswerError, logPosition } from "./client/index.js";
import { h } from "./dom.js";
import { payloadView } from "./exchange-card.js";
import { clockTime, formatMs, formatSize, parsePayload } from "./format.js";
import { exampleOf, onlyBoolean } from "./schema.js";

/** Where in which log it is, as far as a person cares. */
const place = ({ logged, number }) => {
  if (!logged) return "not logged";
  const { tag, offset } = logPosition(number);
  return `${tag === 0 ? "everybody's log" : `own log ${tag}`}, offset ${offset}`;
};

/** @param {import("./client/index.js").InboundRequest} event */
function frameOf(event, badge, ...more) {
  return h("header", {}, badge, h("strong", { text: event.event }), ...more,
    h("span", { class: "muted facts-line", text: `${place(event)} · ${formatSize(event.bytes.length)}` }),
    h("span", { class: "spacer" }), h("span", { class: "muted mono at", text: clockTime(Date.now()) }));
}

const bodyOf = (event) => (event.bytes.length > 0 ? payloadView(event.bytes) : h("p", { class: "empty", text: "no payload" }));

/** Something that wants no answer. */
export class PushCard {
  isOpen = false;

  /** @param {import("./client/index.js").Push} push */
  constructor(push) {
    this.element = h("article", { class: "card", dataset: { name: push.event, kind: "push" }, "aria-label": `Push ${push.event}` },
      frameOf(push, h("span", { class: "status good", text: "push" })), h("div", { class: "card-body" }, bodyOf(push)));
  }
}

/** A question; `answer` is what the person who sits here says. */
export class RequestCard {
  isOpen = true;
  #startedAt = performance.now();
  #ticker;

  /**
   * @param {import("./client/index.js").InboundRequest} request
   * @param {Promise<any>} described  what the gateway says of the event: its schema, its deadline
   * @param {() => void} changed
   */
  constructor(request, described, changed) {
    this.changed = changed;
    this.badge = h("span", { class: "status flying", text: "asks" });
    this.left = h("span", { class: "mono time" });
    this.form = h("form", { class: "outcome reply" });
    this.element = h("article", { class: "card", dataset: { name: request.event, kind: "request" }, "aria-busy": "true", "aria-label": `Request ${request.event}` },
      frameOf(request, this.badge, this.left), h("div", { class: "card-body" }, bodyOf(request)), this.form);
    this.answer = new Promise((resolve, reject) => Object.assign(this, { resolve, reject }));
    request.signal.addEventListener("abort", () => this.#over(request.signal.reason), { once: true });
    this.#build(described);
  }

  async #build(described) {
    const { schema, timeout_ms: timeoutMs } = await described;
    if (!this.isOpen) return;
    if (timeoutMs) {
      const tick = () => (this.left.textContent = `${Math.max(0, Math.ceil((timeoutMs - (performance.now() - this.#startedAt)) / 1000))} s left`);
      this.#ticker = setInterval(tick, 250);
      tick();
    }
    const refuse = h("button", { type: "button", class: "quiet small", text: "Refuse", title: "Answers with the error 409", onclick: () => this.#refuse() });
    const flag = onlyBoolean(schema?.reply);
    if (flag !== undefined) {
      const button = (value, text, kind) => h("button", { type: "button", class: `${kind} small`, text, onclick: () => this.#give({ [flag]: value }) });
      this.form.append(h("span", { class: "muted", text: `${flag}?` }), button(true, "Yes", "primary"), button(false, "No", ""), refuse);
      return;
    }
    const text = h("input", { value: JSON.stringify(exampleOf(schema?.reply) ?? "Yes!"), "aria-label": "Answer as JSON", autocomplete: "off", spellcheck: "false" });
    this.form.append(text, h("button", { type: "submit", class: "primary small", text: "Answer" }), refuse);
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      try {
        const bytes = parsePayload(text.value, "json");
        this.#end("good", "answered", text.value, () => this.resolve(bytes));
      } catch (error) {
        text.setCustomValidity(error.message);
        text.reportValidity();
      }
    });
    text.addEventListener("input", () => text.setCustomValidity(""));
  }

  /** @param {Record<string, boolean>} value */
  #give(value) {
    this.#end("good", "answered", JSON.stringify(value), () => this.resolve(value));
  }

  #refuse() {
    this.#end("warn", "refused", "409", () => this.reject(new AnswerError(409, { title: "refused by a person" })));
  }

  /** Nobody waits for the answer any more. */
  #over(reason) {
    const words = { 408: "too late (408)", 404: "the asker is gone (404)", 499: "cancelled (499)" };
    this.#end("bad", words[reason?.status] ?? "over", "", () => this.reject(reason));
  }

  #end(tone, word, said, settle) {
    if (!this.isOpen) return;
    this.isOpen = false;
    clearInterval(this.#ticker);
    this.badge.className = `status ${tone}`;
    this.badge.textContent = word;
    this.left.textContent = `after ${formatMs(performance.now() - this.#startedAt)}`;
    this.form.replaceChildren(said ? h("span", { class: "muted", text: "you answered" }) : "", h("code", { class: "answer-text", text: said }));
    this.form.hidden = !said;
    this.element.setAttribute("aria-busy", "false");
    settle();
    this.changed();
  }
}
