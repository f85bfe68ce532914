/** The grid of contexts: one row a factor, one column a token. A triangle, a square, or permuted rows. */

import { contextOf, factor, hasStart, length } from "chainrule/data.js";
import { clear, h, roving } from "chainrule/dom.js";
import { conditional, tokenElement } from "chainrule/notation.js";
import { probability } from "chainrule/numbers.js";
import { contextTokens } from "chainrule/panels/contexts.js";
import { orders } from "chainrule/panels/grid_orders.js";
import { picture, place } from "chainrule/panels/grid_picture.js";
import { captionOf } from "chainrule/panels/grid_shapes.js";
import { heading, panel, titleOf, watchWidth } from "chainrule/panels/parts.js";

const TITLE = "The grid of contexts";
const DESCRIPTION =
  "One row a factor, in the order of prediction; one column a token. The filled cells are what a factor is " +
  "conditioned on; the cell marked × (dark in a large grid) is the token that it predicts.";

const MANY = 300; // rows

/** The grid panel. */
export function mount(element, page) {
  const state = { order: null, text: "", message: "", seed: 0, reading: null };
  let again = () => {};
  const watched = watchWidth(element, () => again(focused(element)));
  panel(element, page, TITLE, (reading, selected) => {
    if (reading !== state.reading) Object.assign(state, { order: null, text: "", message: "", reading });
    let mark = null;
    again = (control = null) => {
      mark = drawGrid(element, page, reading, selected, state, again, watched.width);
      mark(Math.min(selected.value, length(reading) - 1));
      if (control) element.querySelector(`[data-control="${control}"]`).focus();
    };
    again();
    return (i) => mark(i);
  });
}

/** The control of an element that has the focus. */
function focused(element) {
  const active = element.contains(document.activeElement) ? document.activeElement : null;
  return active?.dataset.control ?? null;
}

/** again(control): draw anew, with the focus on a control of the new drawing. */
function drawGrid(element, page, reading, selected, state, again, width) {
  const shown = state.order ? inOrder(reading, state.order) : reading;
  const layout = place(page, shown, width);
  const drawing = picture(page, shown, layout, `${titleOf(element, TITLE)}: rows`);
  const line = h("p", { class: "line" });
  clear(
    element,
    heading(element, TITLE, DESCRIPTION),
    h(
      "figure",
      {},
      h("figcaption", {}, captionOf(shown, state.order !== null)),
      h("div", { class: "scroll", style: { "max-height": "80vh" } }, painted(layout, drawing)),
    ),
    line,
    orders(page, reading, state, again, `${titleOf(element, TITLE)}: orders`),
  );
  return connect(page, reading, shown, selected, drawing, line);
}

/** A drawing. One of many rows is painted on the screen alone: its thousands of shapes would slow the scrolling. */
function painted({ width, height, rows }, { element }) {
  if (rows < MANY) return element;
  const size = `${width}px ${height}px`;
  return h("div", { style: { "content-visibility": "auto", "contain-intrinsic-size": size } }, element);
}

/** Rows and the selected factor, in both directions. A row of another order is that of the same token. */
function connect(page, reading, shown, selected, drawing, line) {
  const factorAt = new Map(reading.position.map((position, i) => [position, i]));
  const rowAt = new Map(shown.position.map((position, row) => [position, row]));
  const own = shown === reading;
  const say = (row) => clear(line, sentence(page, shown, row, own));
  const select = (row) => selected.set(factorAt.get(shown.position[row]));
  const choose = roving(drawing.element, drawing.rows, 0, select);
  const rowOf = (event) => {
    const row = event.target.closest?.("[data-row]");
    return row ? Number(row.dataset.row) : null;
  };
  drawing.element.addEventListener("pointerover", (event) => rowOf(event) !== null && say(rowOf(event)));
  drawing.element.addEventListener("pointerleave", () =>
    say(rowAt.get(reading.position[selected.value]) ?? 0),
  );
  drawing.element.addEventListener("click", (event) => rowOf(event) !== null && select(rowOf(event)));
  return (i) => {
    const row = rowAt.get(reading.position[i]);
    drawing.mark(row);
    choose(row);
    say(row);
  };
}

function sentence(page, reading, row, own) {
  const id = reading.sequence[reading.position[row]];
  const value = own
    ? [" = ", h("span", { class: "number" }, probability(factor(reading, row).probability))]
    : [];
  return [
    h("strong", {}, conditional(page, reading, row), value),
    ": ",
    tokenElement(page, id),
    ", given ",
    ...contextTokens(page, reading, contextOf(reading, row), 12),
  ];
}

/** The structure of a reading in another order of its positions. Its numbers are not those of this order. */
function inOrder(reading, order) {
  const given = Array.from({ length: reading.given }, (_, p) => p);
  const known = order.map((_, i) => [...given, ...order.slice(0, i)]);
  const contexts = known.map((positions) => positions.length + (hasStart(reading) ? 1 : 0));
  return {
    ...reading,
    kind: reading.kind === "pseudo" ? "joint" : reading.kind,
    position: order,
    order,
    known,
    contexts,
  };
}
