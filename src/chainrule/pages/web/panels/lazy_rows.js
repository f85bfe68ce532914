/** Rows of a long table, which are made when they are asked for. */

import { button, clear, h } from "chainrule/dom.js";
import { grouped } from "chainrule/numbers.js";

const FIRST = 100; // rows that are there at once
const MORE = 200;
const unfinished = new Set(); // tables with rows to come

/**
 * The first rows of `count`; the others come by buttons, near the end of a region that scrolls, or for a printer.
 * make(i): the element of row i, or several. state.shown: how many there were before the panel was drawn anew.
 * Returns {elements, buttons, grow(n)}: grow makes the rows before n.
 */
export function lazyRows(body, count, make, { region = null, state = { shown: 0 } } = {}) {
  const elements = [];
  const buttons = h("div", { class: "buttons no-print" });
  const grow = (wanted) => {
    const n = Math.min(wanted, count);
    if (elements.length >= n) return;
    const added = Array.from({ length: n - elements.length }, (_, k) => make(elements.length + k));
    elements.push(...added);
    body.append(...added.flat());
    state.shown = n;
    if (n === count) unfinished.delete(table);
    if (!region) drawButtons(buttons, n, count, grow);
  };
  const table = { body, finish: () => grow(count) };
  grow(Math.max(FIRST, state.shown));
  if (elements.length < count) wait(table);
  if (region) growAtEnd(region, body, elements, count, grow);
  return { elements, buttons, grow };
}

function drawButtons(place, made, count, grow) {
  const next = Math.min(count - made, MORE);
  clear(
    place,
    next ? h("span", { class: "quiet" }, `${grouped(made)} of ${grouped(count)} rows.`) : null,
    next ? button(`Show the next ${next}`, () => grow(made + next)) : null,
    count - made > next ? button("Show all", () => grow(count)) : null,
  );
}

function growAtEnd(region, body, elements, count, grow) {
  const near = (entries) => {
    if (!entries.at(-1).isIntersecting || !body.isConnected) return;
    grow(elements.length + MORE);
    watch();
  };
  const observer = new IntersectionObserver(near, { root: region, rootMargin: "400px" });
  const watch = () => {
    observer.disconnect();
    if (elements.length < count) observer.observe(body.lastElementChild);
  };
  watch();
}

/** Make the rows of a table before it is printed, if it is in the document then. */
function wait(table) {
  unfinished.forEach((each) => !each.body.isConnected && unfinished.delete(each));
  setTimeout(() => unfinished.add(table)); // when it is in the document
}

addEventListener("beforeprint", () => unfinished.forEach((table) => table.body.isConnected && table.finish()));
