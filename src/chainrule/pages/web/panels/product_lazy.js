/** Rows of a long table, which are made when they are asked for. */

import { button, clear, h } from "chainrule/dom.js";
import { grouped } from "chainrule/numbers.js";

const FIRST = 100;
const MORE = 200;

/**
 * The first rows of `count`, and buttons for more. make(i): the element of row i. state.shown: how many there were
 * before the panel was drawn anew. Returns {elements, buttons, grow(n)}: grow makes the rows before n.
 */
export function lazy(body, count, make, state) {
  const elements = [];
  const buttons = h("div", { class: "buttons no-print" });
  const grow = (wanted) => {
    const n = Math.min(wanted, count);
    if (elements.length >= n) return;
    const added = Array.from({ length: n - elements.length }, (_, k) => make(elements.length + k));
    elements.push(...added);
    body.append(...added);
    state.shown = elements.length;
    drawButtons();
  };
  const drawButtons = () => {
    const left = count - elements.length;
    if (!left) return clear(buttons);
    const next = Math.min(left, MORE);
    return clear(
      buttons,
      h("span", { class: "quiet" }, `${grouped(elements.length)} of ${grouped(count)} rows.`),
      button(`Show the next ${next}`, () => grow(elements.length + next)),
      left > next ? button("Show all", () => grow(count)) : null,
    );
  };
  grow(Math.max(FIRST, state.shown));
  return { elements, buttons, grow };
}
