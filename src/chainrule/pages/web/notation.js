/** Formulas, in the notation of the library (s, x_0, x_1 …) or of the course (x_0 is the start symbol, x_1 the first token). */

import { contextOf, hasStart, token } from "chainrule/data.js";
import { h } from "chainrule/dom.js";

export const NOTATIONS = [
  ["ours", "s, x₀, x₁ … (chainrule)"],
  ["course", "x₀, x₁, x₂ … (course)"],
];

/** The index of a position: the course counts the start symbol as 0. */
export function index(page, reading, position) {
  return position + (page.notation.value === "course" && hasStart(reading) ? 1 : 0);
}

/** x_2 or e_2 as an element. */
export function symbol(letter, subscript) {
  return h("span", { class: "math" }, h("i", {}, letter), h("sub", {}, String(subscript)));
}

/** x_i of a position, or e_i. */
export function x(page, reading, position, letter = "x") {
  return symbol(letter, index(page, reading, position));
}

/** The start symbol: s, or e_0 (x_0) in the notation of the course. */
export function start(page, letter = "e") {
  return page.notation.value === "course" ? symbol(letter, 0) : h("span", { class: "math" }, h("i", {}, "s"));
}

/** Pr(x_2 | s, e_0, e_1). letter: of the condition, "e" or "x". Long conditions are shortened by …  */
export function conditional(page, reading, i, letter = "e") {
  const parts = condition(page, reading, i, letter).flatMap((part, k) => (k ? [", ", part] : [part]));
  const bar = parts.length ? [" | ", ...parts] : [];
  return h("span", { class: "formula" }, "Pr(", x(page, reading, reading.position[i]), ...bar, ")");
}

/** The same as text, for names of elements. */
export function conditionalText(page, reading, i, letter = "e") {
  return conditional(page, reading, i, letter).textContent;
}

/** The visible form of a token, in its own direction. */
export function tokenElement(page, id, attributes = {}) {
  const text = token(page, id);
  const dir = /\\[a-z]/.test(text) ? "ltr" : null; // bytes as escapes are read from left to right
  return h("bdi", { lang: "", translate: "no", dir, ...attributes }, h("code", {}, text));
}

function condition(page, reading, i, letter) {
  const positions = contextOf(reading, i);
  const ascending = positions.every((p, k) => k === 0 || p === positions[k - 1] + 1);
  const most = ascending ? 3 : 8;
  const kept = ascending ? [positions[0]] : positions.slice(0, most - 1);
  const short = positions.length > most ? [...kept, null, positions.at(-1)] : positions;
  const named = short.map((p) => (p === null ? "…" : x(page, reading, p, letter)));
  return hasStart(reading) ? [start(page, letter), ...named] : named;
}
