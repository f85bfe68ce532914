/** Formulas of the table: Pr(x₁ = B | s, A). */

import { h } from "chainrule/dom.js";
import { start, x } from "chainrule/notation.js";

const READING = { start: { t: -1 } }; // there is a start symbol, which the table never predicts

/** A token of the table. */
export function tokenOf(name) {
  return h("bdi", { lang: "", translate: "no" }, h("code", {}, name));
}

/** Tokens with spaces between them. */
export function tokensOf(names) {
  return h("bdi", { lang: "", translate: "no" }, h("code", {}, names.join(" ")));
}

/** The start symbol and the tokens of a context. */
export function contextOf(page, names) {
  return [start(page, "x"), ...names.flatMap((name) => [" ", tokenOf(name)])];
}

/** The same as text, for names of elements. */
export function contextText(page, names) {
  return h("span", {}, contextOf(page, names)).textContent;
}

/** Pr(x₂ = B | s, A, …): the factor of a text at a position. Of a long context, its end. */
export function factorOf(page, names, position) {
  const shown = names.slice(Math.max(0, position - 3), position).map(tokenOf);
  const parts = [start(page, "x"), ...(position > 3 ? ["…"] : []), ...shown];
  const context = parts.flatMap((part, k) => (k ? [", ", part] : [part]));
  return h(
    "span",
    { class: "formula" },
    "Pr(",
    x(page, READING, position),
    " = ",
    tokenOf(names[position]),
    " | ",
    ...context,
    ")",
  );
}
