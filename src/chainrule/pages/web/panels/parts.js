/** Parts that panels share: their frame, headings, what a person chooses or asks. */

import { length } from "chainrule/data.js";
import { button, clear, h } from "chainrule/dom.js";
import { store } from "chainrule/stores.js";

/**
 * Draw a panel of a reading now, and anew when the data or the notation changes. `draw(reading, selected)` fills
 * the element and returns `mark(i)`, which shows that factor i is the selected one.
 */
export function panel(element, page, title, draw) {
  const name = element.dataset.reading ?? "text";
  const selected = name === "text" ? page.selected : store(0);
  let mark = null;
  const redraw = () => {
    const reading = page.reading(name);
    if (!reading)
      clear(element, heading(element, title), absent(page, name, "There is no text here yet."));
    mark = reading ? draw(reading, selected) : null;
    show(selected.value);
  };
  const show = (i) => {
    const factors = page.reading(name) ? length(page.reading(name)) : 0;
    if (mark && factors) mark(Math.min(i, factors - 1));
  };
  drawn([page.notation, page.changed], redraw);
  later(selected, show);
}

/** Draw now, and again when one of the stores changes. */
export function drawn(stores, draw) {
  stores.forEach((each) => later(each, draw));
  draw();
}

/** The heading of a panel, and one sentence about it. */
export function heading(element, title, ...description) {
  const level = Number(element.dataset.level ?? 2);
  return [
    h(`h${level}`, {}, titleOf(element, title)),
    description.length ? h("p", { class: "note" }, description) : null,
  ];
}

/** The title of a panel: its own, or that of its place. */
export function titleOf(element, title) {
  return element.dataset.title ?? title;
}

/** A heading below that of a panel. */
export function subheading(element, ...text) {
  return h(`h${Number(element.dataset.level ?? 2) + 1}`, {}, text);
}

/** Why a section is not there, and how to get it. */
export function absent(page, name, otherwise) {
  return h("p", { class: "absent" }, page.data.missing?.[name] ?? otherwise);
}

/** A group of buttons of which one is pressed: [value, label] pairs. Returns {element, set}. */
export function choice(label, options, value, act) {
  const buttons = options.map(([key, text]) =>
    button(text, () => (set(key), act(key)), { "data-value": key }),
  );
  const set = (key) =>
    buttons.forEach((b) => b.setAttribute("aria-pressed", String(b.dataset.value === key)));
  set(value);
  return { element: h("div", { class: "choice", role: "group", "aria-label": label }, buttons), set };
}

/** What a person types to ask a server, with a button; errors are shown as text. `act` may be slow. */
export function asking(label, act, ...fields) {
  const message = h("p", { class: "note", role: "status" });
  const go = h("button", { type: "submit" }, label);
  const submit = async (event) => {
    event.preventDefault();
    go.disabled = true;
    message.textContent = "The model computes …";
    try {
      message.textContent = (await act()) ?? "";
    } catch (error) {
      message.textContent = error.message;
    }
    go.disabled = false;
    go.focus();
  };
  return h("form", { class: "asking no-print", onsubmit: submit, novalidate: true }, fields, go, message);
}

const LEAST = 200; // pixels: what is narrower scrolls

/** The width inside an element, known without new layout. `act` is called after it has changed by some pixels. */
export function watchWidth(element, act) {
  const padding = 34; // and border
  const watched = { width: Math.max(element.clientWidth - padding, LEAST) };
  new ResizeObserver(([{ contentRect }]) => {
    if (Math.abs(contentRect.width - watched.width) <= 24 || !contentRect.width) return;
    watched.width = Math.max(contentRect.width, LEAST);
    act();
  }).observe(element);
  return watched;
}

function later(value, act) {
  let first = true;
  value.subscribe((next) => (first ? (first = false) : act(next)));
}
