/** The embeddings that a factor is conditioned on, as a table. */

import { num } from "chainrule/data.js";
import { button, clear, h, scroller } from "chainrule/dom.js";
import { start, tokenElement, x } from "chainrule/notation.js";
import { decimals, digits, grouped } from "chainrule/numbers.js";
import { shortened } from "chainrule/panels/contexts.js";

const MOST = 8;

/** The table; for a long context its first and last rows, and a button for all. */
export function inputsTable(view) {
  const inputs = inputsOf(view);
  const body = h("tbody");
  const more = h("div", { class: "buttons no-print" });
  const fill = (shown) =>
    clear(
      body,
      shown.map((input) => (input === null ? gap(view) : row(view, input))),
    );
  fill(shortened(inputs, MOST));
  if (inputs.length > MOST) {
    const all = () => {
      fill(inputs);
      clear(more);
    };
    more.append(button(`Show all ${grouped(inputs.length)} embeddings`, all));
  }
  return [
    scroller("Embeddings of the context: table", h("table", { class: "inputs" }, head(view), body)),
    more,
  ];
}

/** {input: index in the openings, position: null for the start symbol} of each, in the order they became known. */
function inputsOf({ first, factor }) {
  const tokens = factor.context.map((position) => ({ input: position + first, position }));
  return first ? [{ input: 0, position: null }, ...tokens] : tokens;
}

function head({ openings }) {
  const norms = openings.position.norms ? ["Norm of its position"] : [];
  const names = ["", "Token", "Row", "Norm", ...norms, "First numbers", "Nearest tokens (cosine)"];
  return h(
    "thead",
    {},
    h(
      "tr",
      {},
      names.map((name) => (name ? h("th", { scope: "col" }, name) : h("td", {}))),
    ),
  );
}

function row({ page, reading, openings }, { input, position }) {
  const { t, norm, nearest, first } = openings.inputs;
  const { norms } = openings.position;
  const id = t[input];
  const symbol = position === null ? start(page, "e") : x(page, reading, position, "e");
  return h(
    "tr",
    {},
    h("th", { scope: "row" }, symbol),
    h("td", {}, tokenElement(page, id)),
    h("td", { class: "number" }, grouped(id)),
    h("td", { class: "number" }, digits(num(norm[input]), 5)),
    norms
      ? h("td", { class: "number" }, norms[input] === undefined ? "–" : digits(num(norms[input]), 5))
      : null,
    h(
      "td",
      { class: "number first" },
      `${(first?.[input] ?? []).map((value) => decimals(num(value), 3).padStart(6)).join(" ")} …`,
    ),
    h(
      "td",
      { class: "nearest" },
      (nearest?.[input] ?? []).map((pair) => near(page, pair)),
    ),
  );
}

function near(page, [id, cosine]) {
  return [
    h(
      "span",
      {},
      tokenElement(page, id),
      h("span", { class: "number quiet" }, ` ${decimals(num(cosine), 2)}`),
    ),
    " ",
  ];
}

function gap({ openings }) {
  return h("tr", {}, h("td", { colspan: openings.position.norms ? 7 : 6, class: "quiet" }, "…"));
}
