/** The product: the base case, then factor by factor, as bars, running product and sum of logs. */

import { length } from "chainrule/data.js";
import { clear, field, h, roving, scroller, select } from "chainrule/dom.js";
import { isPseudo } from "chainrule/panels/contexts.js";
import { lazyRows } from "chainrule/panels/lazy_rows.js";
import { heading, panel, titleOf } from "chainrule/panels/parts.js";
import { baseCase, total } from "chainrule/panels/product_ends.js";
import { pairs } from "chainrule/panels/product_pairs.js";
import { baseRow, factorRow, headRow, setBar } from "chainrule/panels/product_rows.js";
import { stepper } from "chainrule/panels/product_steps.js";

const TITLE = "The product";
const SCALES = [
  ["linear", "Pr, from 0 to 1"],
  ["bits", "surprisal, in bits"],
];

/** The product panel. */
export function mount(element, page) {
  const state = { shown: 0, scale: "linear", step: null, reading: null };
  panel(element, page, TITLE, (reading, selected) => {
    if (state.reading !== reading) Object.assign(state, { shown: 0, step: null, reading });
    return draw(element, page, reading, selected, state);
  });
}

function draw(element, page, reading, selected, state) {
  const body = h("tbody", {}, baseRow(page, reading));
  const items = [];
  const make = (i) => {
    const row = factorRow(page, reading, i, state.scale);
    items.push(row.control);
    row.element.toggleAttribute("data-hidden", state.step !== null && i >= state.step);
    return row.element;
  };
  const rows = lazyRows(body, length(reading), make, { state });
  const end = total(element, page, reading);
  const steps = stepper({ page, reading, selected, state, rows, end });
  const scale = (value) => {
    state.scale = value;
    rows.elements.forEach((row, i) => setBar(row.querySelector(".bar"), reading, i, value));
  };
  clear(
    element,
    heading(element, TITLE, description(reading)),
    baseCase(page, reading),
    steps.element(field("Bars show", select(SCALES, state.scale, scale))),
    scroller(
      `${titleOf(element, TITLE)}: table`,
      h("table", { class: "product" }, headRow(page, reading), body),
    ),
    rows.buttons,
    end,
    pairs(element, page, reading, titleOf(element, TITLE)),
  );
  steps.update();
  return connect(body, items, rows, selected);
}

function description(reading) {
  return isPseudo(reading)
    ? "Each factor is conditioned on all other tokens. The sum of their logs is a pseudo-log-likelihood: a score."
    : "The probability of the text is the product of its factors. Logs are added, since products become too small.";
}

/** Rows and the selected factor, in both directions. */
function connect(body, items, rows, selected) {
  const choose = roving(body, items, 0);
  const rowOf = (event) => rows.elements.indexOf(event.target.closest?.("tr"));
  const select = (event) => rowOf(event) >= 0 && selected.set(rowOf(event));
  body.addEventListener("click", select);
  body.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    select(event);
  });
  let marked = null;
  return (i) => {
    rows.grow(i + 1);
    marked?.setAttribute("aria-pressed", "false");
    marked = items[i];
    marked.setAttribute("aria-pressed", "true");
    choose(i);
  };
}
