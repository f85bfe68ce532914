/** What factors are conditioned on, as tokens and as words. */

import { hasStart, token } from "chainrule/data.js";
import { tokenElement } from "chainrule/notation.js";

/** Whether a reading is a score of a masked model, which is no probability. */
export function isPseudo(reading) {
  return reading.kind === "pseudo";
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

function place(page, reading, position) {
  return tokenElement(page, reading.sequence[position]);
}
