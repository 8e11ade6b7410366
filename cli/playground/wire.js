// The log of everything that passed the socket, and of what became of the connection.
import { Flag, flagNames, logPosition } from "./client/index.js";
import { $, arrowKeys, batched, copy, h } from "./dom.js";
import { clockTime, formatSize, hex, withoutSecrets } from "./format.js";
import { drawInspector } from "./inspector.js";

/** The log is a ring: older entries leave. */
const KEPT_ENTRIES = 2000;
/** Of each payload, so that the log stays small whatever is sent. */
const KEPT_BYTES = 4096;

/**
 * @typedef {object} Entry
 * @property {number} seq
 * @property {number} at
 * @property {"in" | "out" | "state"} direction
 * @property {"data" | "control" | "ping"} kind
 * @property {string} label  a name, a type
 * @property {number} size
 * @property {string} [summary]
 * @property {any} [message]  of a control message, without its secrets
 * @property {Uint8Array} [header]
 * @property {Uint8Array} [payload]  its beginning
 * @property {import("./client/index.js").Frame} [frame]
 * @property {{ kind: string, name: string }} [target]
 * @property {string} search
 * @property {HTMLElement} [row]
 */

export function startWire(client) {
  const list = $("#wire-list");
  const inspector = $("#inspector");
  const filter = $("#wire-filter");
  const follow = $("#wire-follow");
  /** @type {Entry[]} */
  let entries = [];
  /** @type {Entry[]} Not drawn yet. */
  let pending = [];
  let seq = 0;
  /** @type {Entry | undefined} */
  let selected;
  const kinds = { data: true, control: true, ping: false };
  /** ids of pings, to know their `ok` */
  const pings = new Set();

  const visible = (entry) => kinds[entry.kind] && entry.search.includes(filter.value.trim().toLowerCase());

  const draw = batched(() => {
    const atEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 60;
    const rows = document.createDocumentFragment();
    for (const entry of pending.slice(-KEPT_ENTRIES)) {
      entry.row = rowOf(entry);
      entry.row.hidden = !visible(entry);
      rows.append(entry.row);
    }
    list.append(rows);
    const newest = pending.findLast((entry) => entry.kind === "data" && visible(entry));
    entries.push(...pending);
    pending = [];
    for (const old of entries.splice(0, Math.max(0, entries.length - KEPT_ENTRIES))) old.row?.remove();
    if (follow.getAttribute("aria-pressed") === "true" && newest) select(newest, false);
    if (atEnd) list.scrollTop = list.scrollHeight;
    $("#wire-count").textContent = String(entries.length);
  });

  const add = (entry) => {
    entry.seq = ++seq;
    entry.search = searchText(entry);
    pending.push(entry);
    if (pending.length > 2 * KEPT_ENTRIES) pending = pending.slice(-KEPT_ENTRIES);
    draw();
  };

  const select = (entry, byHand = true) => {
    selected?.row?.setAttribute("aria-selected", "false");
    selected = entry;
    entry.row?.setAttribute("aria-selected", "true");
    if (byHand) follow.setAttribute("aria-pressed", "false");
    drawInspector(inspector, entry);
  };

  client.on("frame", (tap) => {
    if (tap.frame) add(dataEntry(tap, client.nameOf(tap.frame.handle)));
    else add(controlEntry(tap, pings));
  });
  client.on("state", (change) => {
    const why = [change.reason, change.code !== undefined && `code ${change.code}`, change.delayMs !== undefined && `again in ${Math.round(change.delayMs)} ms`];
    add({ at: Date.now(), direction: "state", kind: "control", label: change.state, size: 0, summary: why.filter(Boolean).join(", ") });
  });

  list.addEventListener("click", (event) => {
    const row = event.target.closest(".row");
    const entry = row && entries.find((each) => each.row === row);
    if (entry) select(entry);
  });
  arrowKeys(list, ".row", (row) => {
    const entry = entries.find((each) => each.row === row);
    if (entry) select(entry);
  });

  const refilter = () => {
    for (const entry of entries) entry.row.hidden = !visible(entry);
    list.scrollTop = list.scrollHeight;
  };
  filter.addEventListener("input", refilter);
  for (const chip of document.querySelectorAll(".chip[data-kind]")) {
    chip.addEventListener("click", () => {
      kinds[chip.dataset.kind] = !kinds[chip.dataset.kind];
      chip.setAttribute("aria-pressed", String(kinds[chip.dataset.kind]));
      refilter();
    });
  }
  follow.addEventListener("click", () => {
    const on = follow.getAttribute("aria-pressed") !== "true";
    follow.setAttribute("aria-pressed", String(on));
    const newest = entries.findLast((entry) => entry.kind === "data" && visible(entry));
    if (on && newest) select(newest, false);
    if (on) list.scrollTop = list.scrollHeight;
  });
  $("#wire-copy").addEventListener("click", () => copy(entries.filter(visible).map(asLine).join("\n")));
  $("#wire-clear").addEventListener("click", () => {
    entries = [];
    pending = [];
    selected = undefined;
    list.replaceChildren();
    drawInspector(inspector, undefined);
    $("#wire-count").textContent = "0";
  });
  drawInspector(inspector, undefined);
}

/** @returns {Entry} */
function dataEntry({ direction, at, bytes, frame }, target) {
  const payload = frame.payload.slice(0, KEPT_BYTES);
  return {
    at, direction, kind: "data", size: bytes.length, target,
    label: target?.name ?? `unknown ${frame.handle.slice(0, 8)}`,
    header: bytes.slice(0, 24),
    payload,
    // Not the whole payload: the log holds its beginning alone.
    frame: { ...frame, payload },
    payloadSize: frame.payload.length,
  };
}

/** @returns {Entry} */
function controlEntry({ direction, at, text }, pings) {
  let message;
  try {
    message = JSON.parse(text);
  } catch {
    message = { type: "not JSON" };
  }
  let kind = "control";
  if (message.type === "ping") {
    kind = "ping";
    pings.add(message.id);
    if (pings.size > 100) pings.delete(pings.values().next().value);
  } else if (message.type === "ok" && pings.delete(message.id)) {
    kind = "ping";
  }
  return { at, direction, kind, label: message.type, size: text.length, message: withoutSecrets(message), summary: summaryOf(message) };
}

function summaryOf(message) {
  const count = (value) => Object.keys(value ?? {}).length;
  const some = (names) => (names.length > 3 ? `${names.slice(0, 3).join(" ")} and ${names.length - 3} more` : names.join(" "));
  const parts = [];
  if (message.type === "service_discovery") parts.push(`${count(message.services)} services`, `revision ${message.revision}`);
  if (message.type === "service_update") {
    if (count(message.added)) parts.push(`+ ${some(Object.keys(message.added))}`);
    if (message.removed?.length) parts.push(`− ${some(message.removed)}`);
    if (message.reason) parts.push(message.reason);
  }
  if (message.type === "peers") {
    if (count(message.added)) parts.push(`+ ${some(Object.keys(message.added))}`);
    if (message.removed?.length) parts.push(`− ${some(message.removed)}`);
  }
  if (message.type === "error") parts.push(String(message.status ?? ""), message.detail ?? message.title ?? "");
  if (message.type === "closing") parts.push(String(message.code), message.reason ?? "", `reconnect: ${message.reconnect}`);
  if (message.type === "going_away") parts.push(`after ${message.reconnect_after_ms} ms`);
  if (message.name) parts.push(String(message.name));
  if (message.id !== undefined) parts.push(`id ${message.id}`);
  return parts.filter(Boolean).join(" · ");
}

/** @param {Entry} entry */
function rowOf(entry) {
  const arrow = { in: "↓", out: "↑", state: "●" }[entry.direction];
  const flags = entry.frame ? flagNames(entry.frame.flags) : [];
  const row = h("div", { class: `row ${entry.direction} ${entry.kind}`, role: "option", "aria-selected": "false", tabindex: "-1" },
    h("span", { class: "t", text: clockTime(entry.at) }),
    h("span", { class: "dir", text: arrow, title: { in: "received", out: "sent", state: "the connection" }[entry.direction] }),
    h("span", { class: "name", text: entry.label }),
    ...flags.map((flag) => h("span", { class: `flag ${flag.toLowerCase()}`, text: flag })),
    entry.frame && h("span", { class: "num", text: numberOf(entry.frame), title: `#${entry.frame.number}` }),
    entry.summary && h("span", { class: "summary", text: entry.summary }),
    h("span", { class: "size", text: entry.size ? formatSize(entry.size) : "" }));
  if (entry.header) {
    row.append(h("code", { class: "hex", "aria-label": "24 header bytes" },
      h("i", { class: "b-handle", text: hex(entry.header.subarray(0, 16)) }),
      h("i", { class: "b-flags", text: hex(entry.header.subarray(16, 17)) }),
      h("i", { class: "b-number", text: hex(entry.header.subarray(17, 24)) })));
  }
  if (entry.frame && entry.frame.flags & Flag.ERROR) row.classList.add("failed");
  if (entry.label === "error" || entry.label === "closing" || entry.label === "gap") row.classList.add("failed");
  return row;
}

/** Log and offset where the number is a position in one: the whole of it has fifteen digits. */
function numberOf({ flags, number }) {
  if (!(flags & Flag.LOGGED)) return `#${number}`;
  const { tag, offset } = logPosition(number);
  return `#${tag}:${offset}`;
}

/** @param {Entry} entry */
function searchText(entry) {
  const flags = entry.frame ? `${flagNames(entry.frame.flags).join(" ")} #${entry.frame.number} ${entry.frame.handle} ${hex(entry.header)} ${hex(entry.header).replaceAll(" ", "")}` : "";
  return `${entry.direction} ${entry.kind} ${entry.label} ${entry.summary ?? ""} ${flags}`.toLowerCase();
}

/** @param {Entry} entry */
function asLine(entry) {
  const start = `${new Date(entry.at).toISOString()} ${{ in: "<-", out: "->", state: "--" }[entry.direction]}`;
  if (entry.message) return `${start} ${JSON.stringify(entry.message)}`;
  if (!entry.frame) return `${start} ${entry.label} ${entry.summary ?? ""}`.trimEnd();
  const flags = flagNames(entry.frame.flags).join("|") || "-";
  const more = entry.payloadSize > entry.payload.length ? "…" : "";
  return `${start} ${entry.label} ${flags} #${entry.frame.number} ${hex(entry.header).replaceAll(" ", "")} ${hex(entry.payload).replaceAll(" ", "")}${more}`;
}
