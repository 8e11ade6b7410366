// A form that sends an event as a service would: by the internal port of `bannou dev`, through the page's own server.
import { h } from "./dom.js";
import { SentCard } from "./sent-card.js";
import { formatSize, parsePayload } from "./format.js";
import { exampleOf } from "./schema.js";

const TO = [["me", "this client"], ["all", "everybody"], ["tier", "a tier"], ["subject", "a subject"], ["client", "another client"]];

/**
 * @param {import("./client/index.js").Client} client
 * @param {any} config
 * @param {{ describe: (name: string) => Promise<any>, add: (card: SentCard) => void, drawn: () => void }} page
 * @returns {HTMLFormElement}
 */
export function startSender(client, config, { describe, add, drawn }) {
  let to = "me";
  /** What was written for an event, by its name. */
  const drafts = new Map();
  let shown;

  const field = (label, value = "") => h("input", { value, "aria-label": label, placeholder: label, autocomplete: "off", spellcheck: "false" });
  const tier = field("tier", "player");
  const issuer = field("issuer");
  const subject = field("subject");
  const other = field("client_id");
  const fields = { me: [], all: [], tier: [tier], subject: [issuer, subject], client: [other] };
  const whom = h("span", { class: "to-fields" });
  const chosen = h("div", { class: "segments", role: "radiogroup", "aria-label": "To whom" },
    ...TO.map(([value, text]) => h("label", {}, h("input", { type: "radio", name: "to", value, checked: value === to, onchange: () => { to = value; draw(); } }), h("span", { text }))));
  const event = h("input", { id: "event-name", list: "event-names", value: "chat.notice", "aria-label": "Event", autocomplete: "off", spellcheck: "false" });
  const names = h("datalist", { id: "event-names" });
  const kind = h("span", { class: "muted", id: "event-kind" });
  const payload = h("textarea", { id: "event-payload", class: "payload", rows: 4, spellcheck: "false", autocomplete: "off", "aria-label": "Payload of the event" });
  const note = h("span", { class: "muted note" });
  const send = h("button", { id: "event-send", class: "primary", type: "submit", text: "Send" });
  const curl = h("pre", { class: "code" });
  const asCurl = h("details", { class: "as-curl" }, h("summary", { text: "The same by curl" }), curl);

  /** Where the internal port takes it; nothing when it is not clear to whom. */
  const path = () => {
    const part = (input) => (input.value.trim() ? encodeURIComponent(input.value.trim()) : undefined);
    const whose = {
      me: client.session.clientId && `clients/${client.session.clientId}`,
      all: "all",
      tier: part(tier) && `tiers/${part(tier)}`,
      subject: part(issuer) && part(subject) && `subjects/${part(issuer)}/${part(subject)}`,
      client: part(other) && `clients/${part(other)}`,
    }[to];
    const name = event.value.trim();
    return whose && /^[^.\s/]+\.[^\s/]+$/.test(name) ? `/v1/${whose}/events/${encodeURIComponent(name)}` : undefined;
  };

  const draw = () => {
    if (whom.children.length !== fields[to].length || fields[to].some((input) => !whom.contains(input))) whom.replaceChildren(...fields[to]);
    const known = [...new Set([...Object.keys(config.events), ...client.events.keys()])].sort();
    names.replaceChildren(...known.map((value) => h("option", { value })));
    let bytes;
    try {
      bytes = parsePayload(payload.value, "json");
      note.textContent = formatSize(bytes.length);
    } catch (error) {
      note.textContent = error.message;
    }
    note.classList.toggle("bad", !bytes);
    const where = path();
    send.disabled = !where || !bytes;
    const data = payload.value.trim().replaceAll("'", "'\\''");
    curl.textContent = `# TOKEN is what \`bannou dev\` says when it starts\ncurl -H "Authorization: Bearer $TOKEN" -H 'content-type: application/json' \\\n  -d '${data}' \\\n  ${config.internal ?? "http://127.0.0.1:9081"}${where ?? "/v1/…"}`;
    drawn();
  };

  /** The gateway describes what this client may receive; of the rest the demo's word has to do. */
  const choose = async () => {
    const name = event.value.trim();
    if (name === shown) return draw();
    if (shown !== undefined) drafts.set(shown, payload.value);
    shown = name;
    const write = (example) => (payload.value = drafts.get(name) ?? (example === undefined ? "" : JSON.stringify(example)));
    write(config.events[name]);
    kind.textContent = "";
    draw();
    if (!client.events.has(name) || client.state !== "open") {
      if (name in config.events) kind.textContent = "this client may not receive it now";
      return;
    }
    const { interaction, schema } = await describe(name);
    if (name !== shown) return;
    kind.textContent = interaction === "Request" ? "a request: the client answers" : "a push: no answer, a receipt";
    if (!payload.value) write(exampleOf(schema?.payload));
    draw();
  };

  const form = h("form", { class: "event-form", id: "event-form" },
    h("div", { class: "row-of" }, h("span", { class: "label muted", text: "To" }), chosen, whom),
    h("div", { class: "row-of" }, h("span", { class: "label muted", text: "Event" }), event, names, kind),
    h("div", { class: "payload-box" }, h("div", { class: "payload-head" }, h("span", { class: "label", text: "Payload" }), h("span", { class: "spacer" }), note), payload),
    h("div", { class: "call-actions" }, send, h("span", { class: "muted", text: "by the page's server, as a service would" })), asCurl);

  form.addEventListener("submit", (submitted) => {
    submitted.preventDefault();
    const where = path();
    if (!where || send.disabled) return;
    const card = new SentCard({ name: event.value.trim(), to: TO.find(([value]) => value === to)[1], changed: drawn });
    add(card);
    card.run(`playground/api${where}`, parsePayload(payload.value, "json"));
  });
  for (const input of [tier, issuer, subject, other, payload]) input.addEventListener("input", draw);
  event.addEventListener("input", choose);
  const again = () => {
    const name = shown;
    shown = undefined;
    drafts.set(name, payload.value);
    choose();
  };
  client.on("discovery", again);
  client.on("update", again);
  client.on("token", ({ token }) => {
    const { iss, sub } = claimsOf(token);
    if (iss) issuer.value = iss;
    if (sub) subject.value = sub;
    draw();
  });
  choose();
  return form;
}

/** What a JWT says, unchecked: only to fill fields in. */
function claimsOf(token) {
  try {
    return JSON.parse(atob(token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/")));
  } catch {
    return {};
  }
}
