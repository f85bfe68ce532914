/** Numbers as pictures: bars, differences, and rows that are folded. */

import { button, h, svg } from "chainrule/dom.js";
import { signed } from "chainrule/numbers.js";

/** A bar; its number is beside it as text. part: between 0 and 1. */
export function measure(part, attributes = {}) {
  const size = Number.isFinite(part) ? Math.min(Math.max(part, 0), 1) : 1;
  return h("span", {
    class: "measure",
    "aria-hidden": "true",
    style: { "--part": size.toFixed(4) },
    ...attributes,
  });
}

/** A bar from the middle to the left (below 0) or to the right; `most` is the value of a full bar. */
export function diverging(value, most) {
  const part = most > 0 ? Math.min(Math.abs(value) / most, 1) : 0;
  const width = Number.isNaN(value) ? 0 : 50 * part;
  return svg(
    "svg",
    { class: "diverging", viewBox: "0 0 100 10", preserveAspectRatio: "none", "aria-hidden": "true" },
    svg("rect", {
      class: value < 0 ? "less" : "more",
      x: value < 0 ? 50 - width : 50,
      y: 1.5,
      width,
      height: 7,
    }),
    svg("line", { class: "zero", x1: 50, y1: 0, x2: 50, y2: 10 }),
  );
}

/** A difference with its sign, an arrow and a colour. */
export function change(value, n = 3) {
  const kind = value > 0 ? "more" : value < 0 ? "less" : "same";
  const arrow = { more: "▲ ", less: "▼ ", same: "" }[kind];
  return h(
    "span",
    { class: `change ${kind}` },
    h("span", { "aria-hidden": "true" }, arrow),
    signed(value, n),
  );
}

/** a − b in nats; 0 for two that are equal, also if both are −∞. */
export function difference(a, b) {
  return a === b ? 0 : a - b;
}

/** The largest finite size of numbers: the scale of their bars. */
export function scaleOf(numbers) {
  return numbers.reduce((most, x) => (Number.isFinite(x) ? Math.max(most, Math.abs(x)) : most), 0);
}

/** x₁₂ as text, where an element cannot be (in <option>). */
export function subscript(letter, n) {
  return letter + [...String(n)].map((c) => "₀₁₂₃₄₅₆₇₈₉"[c] ?? c).join("");
}

/** Row numbers 0 … count − 1, with runs of more than `most` dull ones in one item: numbers and {from, to}. */
export function folded(count, dull, most = 8) {
  const items = [];
  for (let n = 0; n < count;) {
    let to = n;
    while (to < count && dull(to)) to += 1;
    if (to - n > most) items.push({ from: n, to: to - 1 });
    else for (let k = n; k <= Math.min(to, count - 1); k += 1) items.push(k);
    n = to - n > most ? to : to + 1;
  }
  return items;
}

/** A row in place of several, with a button that shows them. columns: of the table. */
export function foldRow(name, words, columns, rows) {
  const line = h("tr", { class: "fold" });
  const show = () => {
    const region = line.closest(".scroll");
    line.replaceWith(...rows());
    region.focus({ preventScroll: true });
  };
  const cell = h("td", { colspan: columns - 1 }, words, " ", button("Show them", show));
  line.append(h("th", { scope: "row" }, name), cell);
  return line;
}
