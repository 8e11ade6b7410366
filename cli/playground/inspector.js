// One frame, byte by byte.
import { Flag, decodeError, logPosition } from "./client/index.js";
import { copy, h, icon } from "./dom.js";
import { clockTime, formatSize, hex, hexDump, pretty, statusName } from "./format.js";

const MEANINGS = {
  INBOUND: "the other side started this exchange",
  ERROR: "the exchange failed: a status, then a body",
  MORE: "more frames of this answer follow",
  ONE_WAY: "no answer is wanted",
  LOGGED: "the number is a position in a log",
};

/**
 * @param {HTMLElement} root
 * @param {import("./wire.js").Entry | undefined} entry
 */
export function drawInspector(root, entry) {
  if (!entry) {
    root.replaceChildren(h("p", { class: "empty", text: "Each data frame begins with 24 bytes: 16 name the other party, one holds flags, seven number the exchange. Choose a frame to read them." }));
  } else if (entry.frame) {
    root.replaceChildren(...dataView(entry));
  } else {
    const text = entry.message ? JSON.stringify(entry.message, null, 2) : entry.summary || entry.label;
    root.replaceChildren(headOf(entry, entry.direction === "state" ? "connection" : "control message"), h("pre", { class: "body", text }));
  }
}

function headOf(entry, what) {
  const copyButton = h("button", { type: "button", class: "quiet small icon", "aria-label": "Copy this frame", onclick: () => copy(entry.frame ? hex(entry.header) + " " + hex(entry.payload) : JSON.stringify(entry.message ?? entry.label)) }, icon("copy"));
  return h("div", { class: "inspector-head" },
    h("strong", { text: entry.label }),
    h("span", { class: "muted", text: `${what} · ${entry.direction === "out" ? "sent" : entry.direction === "in" ? "received" : ""} ${clockTime(entry.at)} · ${formatSize(entry.size)}` }),
    h("span", { class: "spacer" }), copyButton);
}

function dataView(entry) {
  const { frame, header, payload, target } = entry;
  const bytes = (from, to, kind, label) =>
    h("div", { class: `field ${kind}` },
      h("span", { class: "bytes" }, ...Array.from(header.subarray(from, to), (byte) => h("b", { text: byte.toString(16).padStart(2, "0") }))),
      h("span", { class: "field-label", text: label }));
  const flags = Object.entries(Flag).map(([name, bit]) =>
    h("span", { class: `flag ${name.toLowerCase()}${frame.flags & bit ? "" : " off"}`, title: MEANINGS[name], text: name }));
  const facts = [
    ["handle", h("span", {}, h("code", { text: frame.handle }), target ? h("span", { class: "resolved" }, ` ${target.kind} `, h("strong", { text: target.name })) : h("span", { class: "resolved", text: " unknown" }))],
    ["message ID", h("code", { text: `0x${hex(header.subarray(16)).replaceAll(" ", "")}` })],
    ["flags", h("span", { class: "flag-list" }, ...flags)],
    ["number", h("span", {}, h("code", { text: String(frame.number) }), frame.flags & Flag.LOGGED ? h("span", { class: "resolved", text: ` log ${logPosition(frame.number).tag}, offset ${logPosition(frame.number).offset}` }) : null)],
  ];
  let body = payload;
  if (frame.flags & Flag.ERROR) {
    const { status, body: rest } = decodeError(payload);
    facts.push(["status", h("span", {}, h("code", { text: String(status) }), h("span", { class: "resolved", text: ` ${statusName(status)}` }))]);
    body = rest;
  }
  const { kind, text } = pretty(body);
  const kept = entry.payloadSize > payload.length ? ` (the first ${formatSize(payload.length)})` : "";
  return [
    headOf(entry, `data frame, ${meaning(frame.flags, entry.direction)}`),
    h("div", { class: "fields", role: "img", "aria-label": `24 header bytes: ${hex(header)}` },
      bytes(0, 16, "b-handle", "handle · 16 bytes"), bytes(16, 17, "b-flags", "flags"), bytes(17, 24, "b-number", "number · 7 bytes")),
    h("dl", { class: "frame-facts" }, ...facts.map(([name, value]) => h("div", {}, h("dt", { text: name }), h("dd", {}, value)))),
    h("div", { class: "payload-title muted", text: kind === "empty" ? "no payload" : `payload · ${formatSize(entry.payloadSize)}${kept} · ${kind}` }),
    kind === "empty" ? "" : h("pre", { class: "body", text: kind === "hex" ? hexDump(body, 1024) : text }),
  ];
}

/** What a frame with these flags is, as the table of the protocol has it. */
function meaning(flags, direction) {
  const inbound = flags & Flag.INBOUND;
  const error = flags & Flag.ERROR;
  const more = flags & Flag.MORE;
  if (flags & Flag.ONE_WAY) return direction === "out" ? "a one-way message" : flags & Flag.LOGGED ? "a push" : "a one-way message of a peer";
  if (direction === "out") {
    if (inbound) return error ? "a failed answer" : more ? "a part of an answer" : "an answer";
    return error ? "a cancel" : "a request";
  }
  if (inbound) return error ? "the end of a request" : "a request to this client";
  return error ? "a failure" : more ? "a part of the answer" : "the answer";
}
