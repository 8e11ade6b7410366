// What services say without being asked: events as they arrive, requests that a person answers, and a form that sends one.
import { Push } from "./client/index.js";
import { $, arrive, h, toast } from "./dom.js";
import { PushCard, RequestCard } from "./event-card.js";
import { startSender } from "./event-sender.js";
import { oneLine } from "./exchange-card.js";

const KEPT_CARDS = 60;

export function startEvents(client, config, { tabs }) {
  const badge = $("#events-badge");
  const hint = h("p", { class: "empty", text: "Nothing has arrived yet. Call game.find_match when you are logged in, or send something above." });
  const feed = h("div", { id: "event-feed", class: "answers", role: "feed", "aria-label": "Events, newest first" });
  const clear = h("button", { type: "button", class: "quiet", text: "Clear", hidden: true });
  const heard = new Set();
  /** name → what the gateway says of it, asked for once */
  const described = new Map();
  /** @type {(PushCard | RequestCard)[]} newest first */
  let cards = [];
  let unseen = 0;
  /** @type {HTMLElement[]} what was said of events while nobody looked at them */
  let said = [];

  const describe = (name) => {
    if (!described.has(name)) {
      described.set(name, client.describe(name).catch(() => (described.delete(name), {})));
    }
    return described.get(name);
  };

  const draw = () => {
    const waiting = cards.filter((card) => card.isOpen && card instanceof RequestCard).length;
    const count = waiting + unseen;
    badge.hidden = count === 0;
    badge.textContent = String(count);
    badge.setAttribute("aria-label", waiting > 0 ? `${waiting} to answer` : `${unseen} new`);
    badge.classList.toggle("urgent", waiting > 0);
    hint.hidden = cards.length > 0;
    clear.hidden = cards.every((card) => card.isOpen);
  };

  /** Puts a card on top; of those that nobody waits for, only the newest are kept. */
  const add = (card) => {
    cards.unshift(card);
    feed.prepend(card.element);
    arrive(card.element);
    const done = cards.filter((each) => !each.isOpen);
    for (const old of done.slice(KEPT_CARDS)) old.element.remove();
    cards = cards.filter((each) => each.isOpen || done.indexOf(each) < KEPT_CARDS);
    draw();
  };

  const say = (name, words) => said.push(toast(h("span", {}, h("strong", { text: name }), ` ${words}`)));
  const seenNow = () => tabs.current() === "events" && !document.hidden;

  const hear = (name) => {
    if (heard.has(name)) return;
    heard.add(name);
    client.on(name, (event) => {
      if (!(event instanceof Push)) return ask(event);
      add(new PushCard(event));
      if (!seenNow()) {
        unseen++;
        say(event.event, oneLine(event.bytes, 90));
      }
      draw();
    });
  };

  const ask = (request) => {
    const card = new RequestCard(request, describe(request.event), draw);
    add(card);
    if (!seenNow()) say(request.event, "asks: answer it under Events");
    return card.answer;
  };

  $("#panel-events").append(
    startSender(client, config, { describe, add, drawn: draw }),
    h("div", { class: "answers-head" }, h("h3", { text: "Arrived and sent" }), h("span", { class: "spacer" }), clear),
    hint, feed);

  clear.addEventListener("click", () => {
    for (const card of cards) if (!card.isOpen) card.element.remove();
    cards = cards.filter((card) => card.isOpen);
    draw();
  });
  const hearAll = (names) => {
    for (const name of names) hear(name);
  };
  client.on("discovery", ({ events }) => {
    described.clear();
    hearAll(events.keys());
  });
  client.on("update", ({ eventsAdded }) => {
    described.clear();
    hearAll(eventsAdded.keys());
  });
  client.on("gap", ({ unknown }) => {
    toast(unknown ? "The old session could not be resumed: a new one begins" : "Some messages can no longer be delivered", "bad");
  });
  const look = () => {
    if (!seenNow()) return;
    unseen = 0;
    for (const toast of said) toast.remove();
    said = [];
    draw();
  };
  tabs.onShow(look);
  document.addEventListener("visibilitychange", look);
  draw();
}
