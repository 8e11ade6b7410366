// Shortcuts. Single letters count only where nobody types.
import { $ } from "./dom.js";

export function startKeys({ tabs, services, calls, connection }) {
  const help = $("#help");
  $("#help-open").addEventListener("click", () => help.showModal());
  $("#theme").addEventListener("click", () => window.toggleTheme());

  const actions = {
    1: () => tabs.show("call"),
    2: () => tabs.show("events"),
    3: () => tabs.show("chat"),
    4: () => tabs.show("media"),
    "/": () => services.focusFilter(),
    l: () => $("#wire-filter").select(),
    d: () => connection.toggle(),
    t: () => window.toggleTheme(),
    "?": () => help.showModal(),
  };

  document.addEventListener("keydown", (event) => {
    if (event.isComposing || help.open) return;
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && tabs.current() === "call") {
      event.preventDefault();
      calls.send();
      return;
    }
    const typing = event.target.matches?.("input, textarea, select");
    if (event.key === "Escape") {
      if (!calls.cancelNewest() && typing) event.target.blur();
      return;
    }
    if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
    const action = actions[event.key.toLowerCase()];
    if (!action) return;
    event.preventDefault();
    action();
  });
}
