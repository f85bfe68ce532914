/** The rows of the product: one a factor, after that of the base case. */

import { factor, hasStart, num } from "chainrule/data.js";
import { clear, h } from "chainrule/dom.js";
import { conditional, start, tokenElement } from "chainrule/notation.js";
import { decimals, digits, full, typeset } from "chainrule/numbers.js";
import { isPseudo } from "chainrule/panels/contexts.js";
import { measure } from "chainrule/panels/figures.js";

/** The head of the table. */
export function headRow(page, reading) {
  const names = [
    "Factor",
    "Token",
    "Pr",
    "log Pr, nats",
    ...(isPseudo(reading) ? [] : ["Running product"]),
    "Sum of logs, nats",
  ];
  const cells = names.map((name, k) => h("th", { scope: "col", class: k > 2 ? "number" : null }, name));
  return h("thead", {}, h("tr", {}, cells));
}

/** The row of the start symbol, which has no factor of the model. */
export function baseRow(page, reading) {
  if (!hasStart(reading)) return null;
  const course = page.notation.value === "course";
  const formula = course ? ["Pr(", start(page, "x"), ") = 1"] : [start(page, "x"), " is given"];
  return h(
    "tr",
    { class: "base" },
    h("th", { scope: "row" }, h("span", { class: "formula" }, formula)),
    h("td", {}, tokenElement(page, reading.start.t)),
    h(
      "td",
      { class: "bar" },
      course ? [measure(1), h("span", { class: "number" }, "1")] : h("span", { class: "quiet" }, "no factor"),
    ),
    h("td", { class: "number" }, course ? "0" : ""),
    isPseudo(reading) ? null : h("td", { class: "number running" }, "1"),
    h("td", { class: "number running" }, "0"),
  );
}

/** {element, control}: the row of a factor, and the part of it that takes the focus. */
export function factorRow(page, reading, i, scale) {
  const { id, logprob, runningLogprob, runningProbability } = factor(reading, i);
  const control = h(
    "span",
    { role: "button", tabindex: -1, "aria-pressed": "false" },
    conditional(page, reading, i),
  );
  const bar = h("td", { class: "bar" });
  setBar(bar, reading, i, scale);
  const element = h(
    "tr",
    {},
    h("th", { scope: "row" }, control),
    h("td", {}, tokenElement(page, id)),
    bar,
    h("td", { class: "number" }, full(logprob)),
    isPseudo(reading)
      ? null
      : h("td", { class: "number running" }, h("span", {}, typeset(runningProbability))),
    h("td", { class: "number running" }, h("span", {}, full(runningLogprob))),
  );
  return { element, control };
}

/** The bar of a factor and its number, by the scale: the probability, or its surprisal. */
export function setBar(cell, reading, i, scale) {
  const { probability, surprisal } = factor(reading, i);
  const linear = scale === "linear";
  const part = linear ? probability : surprisal / mostBits(reading);
  const text = linear ? digits(probability) : `${decimals(surprisal, 3)} bits`;
  clear(
    cell,
    measure(part, { class: linear ? "measure" : "measure bits" }),
    h("span", { class: "number" }, text),
  );
}

const most = new WeakMap();

/** The largest finite surprisal of a reading. */
function mostBits(reading) {
  if (!most.has(reading))
    most.set(reading, Math.max(...reading.surprisal_bits.map(num).filter(Number.isFinite), 1e-9));
  return most.get(reading);
}
