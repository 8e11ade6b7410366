// The little that is needed to make elements without a framework.

/** @param {string} selector */
export const $ = (selector, root = document) => root.querySelector(selector);

/**
 * Makes an element. `class`, `text`, `dataset`, `on…` and properties are understood; anything else is an attribute.
 *
 * @param {string} tag
 * @param {Record<string, any>} [props]
 * @param {...(Node | string | null | undefined | false)} children
 */
export function h(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "class") element.className = value;
    else if (name === "text") element.textContent = value;
    else if (name === "dataset") Object.assign(element.dataset, value);
    else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "value" || (name in element && typeof value !== "string")) element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** @param {string} name  of a symbol in the page */
export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  use.setAttribute("href", `#i-${name}`);
  svg.append(use);
  return svg;
}

/** Puts text on the clipboard, also where the clipboard API is refused. */
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = h("textarea", { class: "offscreen", value: text });
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  toast("Copied");
}

/**
 * Says something in passing.
 *
 * @param {string | Node} content
 * @param {"plain" | "good" | "bad"} [tone]
 * @returns {HTMLElement}  to be removed when it is no news any more
 */
export function toast(content, tone = "plain") {
  const toasts = $("#toasts");
  const item = h("div", { class: `toast ${tone}` }, content);
  toasts.append(item);
  while (toasts.children.length > 4) toasts.firstElementChild.remove();
  setTimeout(() => item.remove(), 4000);
  return item;
}

/**
 * Lets something new slide in, once: an animation by style sheet would play again whenever its panel is shown.
 *
 * @template {HTMLElement} Element
 * @param {Element} element
 * @returns {Element}
 */
export function arrive(element) {
  if (!matchMedia("(prefers-reduced-motion: reduce)").matches) {
    element.animate([{ opacity: 0.3, translate: "0 -5px" }, { opacity: 1, translate: "0 0" }], { duration: 160, easing: "ease-out" });
  }
  return element;
}

/** Runs `draw` at most once per frame, in hidden pages too. */
export function batched(draw) {
  let waiting = false;
  return () => {
    if (waiting) return;
    waiting = true;
    const run = () => {
      waiting = false;
      draw();
    };
    if (document.hidden) setTimeout(run, 100);
    else requestAnimationFrame(run);
  };
}

/**
 * Arrow keys, Home and End among the items of a list; only one of them is in the tab order.
 *
 * @param {HTMLElement} list
 * @param {string} selector  of its items
 * @param {(item: HTMLElement) => void} [moved]
 */
export function arrowKeys(list, selector, moved = () => {}) {
  list.addEventListener("keydown", (event) => {
    const steps = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1, Home: -Infinity, End: Infinity };
    const step = steps[event.key];
    if (step === undefined || event.target.matches("input, textarea, select")) return;
    const items = [...list.querySelectorAll(selector)].filter((item) => !item.hidden);
    if (items.length === 0) return;
    event.preventDefault();
    const current = items.indexOf(document.activeElement.closest(selector));
    const next = current < 0 ? (step > 0 ? 0 : items.length - 1) : Math.min(items.length - 1, Math.max(0, current + step));
    items[next].focus();
    moved(items[next]);
  });
}
