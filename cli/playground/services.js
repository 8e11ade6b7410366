// What this client may call, what it may not yet, and what services may send to it.
import { $, arrowKeys, h, icon, toast } from "./dom.js";

/** How long a name that just unlocked is marked. */
const NEW_MS = 8000;
const MAX_KNOWN = 2000;

export function startServices(client, config, { chosen }) {
  const list = $("#services");
  const filter = $("#service-filter");
  /** Names that were ever seen, so that one that is lost shows as locked. The demo's own are known from the start. */
  const known = new Set(Object.keys(config.examples));
  /** name → until when it is new */
  const fresh = new Map();
  let selected;

  const choose = (name, write = false) => {
    selected = name;
    for (const row of list.querySelectorAll("[data-name]")) {
      const is = row.dataset.name === name;
      row.setAttribute("aria-selected", String(is));
      row.tabIndex = is ? 0 : -1;
    }
    chosen(name, write);
  };

  const rowOf = (name) => {
    const open = client.services.has(name);
    const isNew = fresh.get(name) > performance.now();
    const row = h(
      "div",
      {
        class: `service${open ? "" : " locked"}${isNew ? " new" : ""}`,
        role: "option",
        "aria-selected": String(name === selected),
        "aria-disabled": open ? undefined : "true",
        "aria-label": `${name}, ${open ? (isNew ? "newly unlocked" : "unlocked") : "locked"}`,
        title: open ? `${name}\nhandle ${client.services.get(name)}` : `${name} is not among the services of this client now: log in, perhaps`,
        dataset: { name },
        onclick: () => choose(name),
        ondblclick: () => choose(name, true),
      },
      icon(open ? "open" : "lock"),
      h("span", { class: "service-name", text: name.slice(name.indexOf(".") + 1) }),
      isNew && h("span", { class: "tag", text: "new" }),
    );
    row.tabIndex = -1;
    return row;
  };

  const draw = () => {
    const wanted = filter.value.trim().toLowerCase();
    const focused = document.activeElement?.dataset?.name;
    const names = [...known].filter((name) => name.toLowerCase().includes(wanted)).sort();
    const groups = Map.groupBy ? Map.groupBy(names, groupOf) : groupBy(names, groupOf);
    const children = [];
    for (const [group, members] of groups) {
      children.push(h("div", { class: "group", role: "group", "aria-label": group }, h("h3", { text: group }), ...members.map(rowOf)));
    }
    const events = [...client.events.keys()].filter((name) => name.toLowerCase().includes(wanted)).sort();
    if (events.length > 0) {
      children.push(
        h("div", { class: "group events", role: "group", "aria-label": "events" }, h("h3", { text: "may arrive" }),
          ...events.map((name) => h("div", { class: "event", dataset: { event: name }, title: `handle ${client.events.get(name)}` }, icon("event"), h("span", { text: name })))),
      );
    }
    if (children.length === 0) {
      children.push(h("p", { class: "empty", text: wanted ? `Nothing is called “${filter.value}”.` : "Services appear here once the gateway has been heard." }));
    }
    list.replaceChildren(...children);
    const rows = [...list.querySelectorAll("[data-name]")];
    const inOrder = rows.find((row) => row.dataset.name === selected) ?? rows[0];
    if (inOrder) inOrder.tabIndex = 0;
    if (focused) rows.find((row) => row.dataset.name === focused)?.focus();
    $("#service-count").textContent = String(client.services.size);
  };

  const learn = (names) => {
    for (const name of names) if (known.size < MAX_KNOWN) known.add(name);
  };

  client.on("discovery", () => {
    fresh.clear();
    learn(client.services.keys());
    draw();
    // A page that was just opened shows something that works at once.
    const first = ["echo.bytes", ...client.services.keys()].find((name) => client.services.has(name));
    if (selected === undefined && first) choose(first);
  });
  client.on("update", ({ added, removed, reason }) => {
    learn(added.keys());
    const until = performance.now() + NEW_MS;
    for (const name of added.keys()) fresh.set(name, until);
    for (const name of removed) fresh.delete(name);
    draw();
    const because = reason ? ` (${reason})` : "";
    if (added.size > 0) toast(`Unlocked ${[...added.keys()].join(", ")}${because}`, "good");
    if (removed.length > 0) toast(`Locked ${removed.join(", ")}${because}`, "bad");
    if (added.size > 0) setTimeout(draw, NEW_MS + 50);
  });
  client.on("state", ({ state }) => list.classList.toggle("stale", state !== "open"));

  filter.addEventListener("input", draw);
  filter.addEventListener("keydown", (event) => {
    if (event.key !== "ArrowDown" && event.key !== "Enter") return;
    event.preventDefault();
    const first = list.querySelector("[data-name]");
    if (event.key === "Enter" && first) choose(first.dataset.name, true);
    else first?.focus();
  });
  arrowKeys(list, "[data-name]", (row) => choose(row.dataset.name));
  list.addEventListener("keydown", (event) => {
    const row = event.target.closest("[data-name]");
    if (!row || (event.key !== "Enter" && event.key !== " ")) return;
    event.preventDefault();
    choose(row.dataset.name, true);
  });
  draw();

  return { focusFilter: () => filter.select() };
}

/** @param {string} name */
const groupOf = (name) => name.slice(0, Math.max(0, name.indexOf("."))) || "others";

/** For browsers before `Map.groupBy`. */
function groupBy(items, keyOf) {
  const groups = new Map();
  for (const item of items) groups.set(keyOf(item), [...(groups.get(keyOf(item)) ?? []), item]);
  return groups;
}
