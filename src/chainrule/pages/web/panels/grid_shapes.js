/** The shape of a grid, in words. */

import { contextOf, hasStart } from "chainrule/data.js";
import { isPseudo } from "chainrule/panels/contexts.js";

/** "triangle", "square", "band" or "permuted". */
function shapeOf(reading) {
  if (isPseudo(reading)) return "square";
  const ascending = reading.position.every((position, i) => i === 0 || position > reading.position[i - 1]);
  if (!ascending) return "permuted";
  return reading.position.every((position, i) => contextOf(reading, i).length === position)
    ? "triangle"
    : "band";
}

const SENTENCES = {
  triangle: "A triangle: each token is predicted from all tokens before it.",
  square:
    "A full square without its diagonal: each token is predicted from all the others, before it and after it.",
  band: "A band: each token is predicted from the last tokens before it, as many as the model can take.",
  permuted: "Permuted rows: each token is predicted from those that are known by then, in this order.",
};

/** A sentence that names the shape. */
export function captionOf(reading, another) {
  const given = reading.given
    ? ` The first ${reading.given === 1 ? "token is" : `${reading.given} tokens are`} given and have no row.`
    : "";
  const start = hasStart(reading) ? " The first column is the start symbol, which is in every context." : "";
  const numbers = another
    ? " These are the contexts of another order: the numbers on this page are those of the model's own order."
    : "";
  return SENTENCES[shapeOf(reading)] + given + start + numbers;
}
