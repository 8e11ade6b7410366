// The four things to do here.
import { arrowKeys, $ } from "./dom.js";

export function startTabs() {
  const list = $('[role="tablist"]');
  const tabs = [...list.querySelectorAll('[role="tab"]')];
  const listeners = new Set();

  const show = (name) => {
    for (const tab of tabs) {
      const selected = tab.id === `tab-${name}`;
      tab.setAttribute("aria-selected", String(selected));
      tab.tabIndex = selected ? 0 : -1;
      $(`#${tab.getAttribute("aria-controls")}`).hidden = !selected;
    }
    for (const listener of listeners) listener(name);
  };
  const nameOf = (tab) => tab.id.slice("tab-".length);
  for (const tab of tabs) tab.addEventListener("click", () => show(nameOf(tab)));
  arrowKeys(list, '[role="tab"]', (tab) => show(nameOf(tab)));

  return {
    show,
    current: () => nameOf(tabs.find((tab) => tab.getAttribute("aria-selected") === "true")),
    onShow: (listener) => listeners.add(listener),
  };
}
