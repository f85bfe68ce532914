/** The steps of a factor as boxes and arrows, with shapes. */

import { svg } from "chainrule/dom.js";
import { x } from "chainrule/notation.js";
import { count, digits, grouped, probability, typeset } from "chainrule/numbers.js";
import { spans } from "chainrule/panels/svg_formula.js";

const BOX = { width: 138, height: 66, gap: 28 };
const ROW = { height: 46, gap: 18 };

/** The diagram, from left to right; from top to bottom where it is narrow. The list under it says the same. */
export function diagram(view, width) {
  const boxes = boxesOf(view);
  const across = boxes.length * BOX.width + (boxes.length - 1) * BOX.gap;
  return width >= across ? horizontal(boxes, across) : vertical(boxes, Math.min(width, 360));
}

function boxesOf({ page, reading, i, factor, embeddings, sizes }) {
  const pseudo = factor.runningProbability === null;
  const picked = [
    ...spans(document.createTextNode("Pr(")),
    ...spans(x(page, reading, reading.position[i])),
    ...spans(document.createTextNode(" | …)")),
  ];
  return [
    ["tokens", count(embeddings, "id"), "of the context"],
    ["embeddings e", `${grouped(embeddings)} × ${grouped(sizes.e)}`, "rows of the table"],
    ["hidden state h", grouped(sizes.h), "after all layers"],
    ["logits z", grouped(sizes.z), "one for each token"],
    ["softmax", grouped(sizes.z), "they sum to 1"],
    ["pick the factor", probability(factor.probability), picked],
    pseudo
      ? ["add its log", digits(factor.logprob), "to the sum so far"]
      : ["multiply", typeset(factor.runningProbability), "the running product"],
  ];
}

function horizontal(boxes, width) {
  const parts = boxes.map(([name, shape, note], k) => {
    const x = k * (BOX.width + BOX.gap);
    const middle = x + BOX.width / 2;
    return [
      svg("rect", { class: "box", x: x + 1, y: 1, width: BOX.width - 2, height: BOX.height, rx: 6 }),
      svg("text", { class: "name", x: middle, y: 20, "text-anchor": "middle" }, name),
      svg("text", { class: "shape", x: middle, y: 39, "text-anchor": "middle" }, shape),
      svg("text", { class: "note", x: middle, y: 57, "text-anchor": "middle" }, note),
      k ? arrow(`M${x - BOX.gap + 2} 34h${BOX.gap - 10}`, `M${x - 9} 29l8 5l-8 5z`) : null,
    ];
  });
  return frame(boxes, width, BOX.height + 2, parts);
}

function vertical(boxes, width) {
  const step = ROW.height + ROW.gap;
  const parts = boxes.map(([name, shape, note], k) => {
    const y = k * step;
    const middle = width / 2;
    return [
      svg("rect", { class: "box", x: 1, y: y + 1, width: width - 2, height: ROW.height - 2, rx: 6 }),
      svg("text", { class: "name", x: 10, y: y + 19 }, name),
      svg("text", { class: "note", x: 10, y: y + 37 }, note),
      svg("text", { class: "shape", x: width - 10, y: y + 28, "text-anchor": "end" }, shape),
      k ? arrow(`M${middle} ${y - ROW.gap + 1}v${ROW.gap - 8}`, `M${middle - 5} ${y - 8}l5 8l5 -8z`) : null,
    ];
  });
  return frame(boxes, width, boxes.length * step - ROW.gap, parts);
}

function arrow(line, head) {
  return [svg("path", { class: "arrow", d: line }), svg("path", { class: "arrowhead", d: head })];
}

function frame(boxes, width, height, parts) {
  const label = `Steps: ${boxes.map(([name, shape]) => `${name} (${shape})`).join(", then ")}.`;
  return svg(
    "svg",
    { role: "img", "aria-label": label, width, height, viewBox: `0 0 ${width} ${height}` },
    parts,
  );
}
