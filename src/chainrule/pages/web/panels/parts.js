/** Parts that panels share: their frame, bars, lists of tokens. */

import { hasStart, length, token } from "chainrule/data.js";
import { clear, h } from "chainrule/dom.js";
import { start, tokenElement, x } from "chainrule/notation.js";
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
      clear(element, heading(element, title, page.data.missing?.[name] ?? "There is no text here yet."));
    mark = reading ? draw(reading, selected) : null;
    show(selected.value);
  };
  const show = (i) => {
    const factors = page.reading(name) ? length(page.reading(name)) : 0;
    if (mark && factors) mark(Math.min(i, factors - 1));
  };
  page.notation.subscribe(redraw);
  later(page.changed, redraw);
  later(selected, show);
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

/** A heading inside a panel. */
export function sub(element, ...text) {
  return h(`h${Number(element.dataset.level ?? 2) + 1}`, {}, text);
}

/** A bar; its number is beside it as text. part: between 0 and 1. */
export function measure(part, attributes = {}) {
  const size = Number.isFinite(part) ? Math.min(Math.max(part, 0), 1) : 1;
  return h("span", {
    class: "measure",
    "aria-hidden": "true",
    style: { "--part": size.toFixed(4) },
    ...attributes,
  });
}

/** What a factor is conditioned on: the start symbol, then tokens; a long list is shortened in its middle. */
export function contextTokens(page, reading, positions, most = 9) {
  const first = hasStart(reading) ? [tokenElement(page, reading.start.t, { title: "start symbol" })] : [];
  const items = [
    ...first,
    ...shortened(positions, most).map((p) => (p === null ? "…" : place(page, reading, p))),
  ];
  return items.length ? items.flatMap((item, k) => (k ? [" ", item] : [item])) : ["nothing"];
}

/** The same as text to be heard: s, It, is. */
export function contextText(page, reading, positions, most = 9) {
  const first = hasStart(reading) ? [page.notation.value === "course" ? "x₀" : "s"] : [];
  const items = shortened(positions, most).map((p) => (p === null ? "…" : heard(page, reading, p)));
  return [...first, ...items].join(", ") || "nothing";
}

/** A token as it is heard: its characters, or its visible form where it has none. */
export function heard(page, reading, position) {
  const visible = token(page, reading.sequence[position]);
  return visible.replace(/^␣(?=.)/u, "");
}

/** Items, of which those in the middle are one null when there are more than `most`. */
export function shortened(items, most) {
  if (items.length <= most) return items;
  return [...items.slice(0, 2), null, ...items.slice(items.length - most + 3)];
}

/** "x_2 ␣is": a symbol with its token. */
export function named(page, reading, position) {
  return h("span", {}, x(page, reading, position), " ", tokenElement(page, reading.sequence[position]));
}

/** The start symbol with its token: s = <s>, or x_0 = <s>. */
export function startNamed(page, reading) {
  return h("span", {}, start(page, "x"), " = ", tokenElement(page, reading.start.t));
}

/** Whether a reading is a score of a masked model, which is no probability. */
export function isPseudo(reading) {
  return reading.kind === "pseudo";
}

function place(page, reading, position) {
  return tokenElement(page, reading.sequence[position]);
}

/** Subscribe to changes alone. */
function later(value, act) {
  let first = true;
  value.subscribe((next) => (first ? (first = false) : act(next)));
}
