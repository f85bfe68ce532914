/** The same text read by tokens and by embeddings, factor by factor. */

import { length, num } from "chainrule/data.js";
import { h, scroller } from "chainrule/dom.js";
import { conditional } from "chainrule/notation.js";
import { full, grouped } from "chainrule/numbers.js";
import { lazyRows } from "chainrule/panels/lazy_rows.js";
import { subheading } from "chainrule/panels/parts.js";

/** A table of both readings, and how many factors are equal to the last bit. */
export function pairs(element, page, reading, title) {
  const by = reading.by_embeddings;
  if (!by)
    return h(
      "p",
      { class: "note" },
      "This reading was computed from tokens alone, so there is none by embeddings to put beside it.",
    );
  const n = length(reading);
  const equal = by.filter((logprob, i) => logprob === reading.logprob[i]).length;
  const body = h("tbody");
  const rows = lazyRows(body, n, (i) => row(page, reading, i));
  const heads = ["By tokens", "log Pr, nats", "", "By embeddings", "log Pr, nats"];
  return h(
    "div",
    { class: "pairs" },
    subheading(element, "By tokens and by embeddings"),
    h(
      "p",
      {},
      "The same text is computed twice: from the ids of its tokens, and from their embeddings ",
      h("i", { class: "math" }, "e"),
      ". ",
      verdict(equal, n),
    ),
    scroller(
      `${title}: by tokens and by embeddings`,
      h("table", {}, h("thead", {}, h("tr", {}, heads.map(headCell))), body),
    ),
    rows.buttons,
  );
}

function verdict(equal, n) {
  if (equal === n)
    return h(
      "strong",
      {},
      n === 1
        ? "The factor is equal to the last bit."
        : `All ${grouped(n)} factors are equal to the last bit.`,
    );
  return h(
    "strong",
    {},
    `${grouped(equal)} of ${grouped(n)} factors are equal to the last bit; the others differ by rounding.`,
  );
}

function headCell(name, k) {
  if (!name) return h("td", {});
  return h("th", { scope: "col", class: name.startsWith("log Pr") ? "number" : null }, name);
}

function row(page, reading, i) {
  const [tokens, embeddings] = [reading.logprob[i], reading.by_embeddings[i]];
  const same = tokens === embeddings;
  return h(
    "tr",
    {},
    h("th", { scope: "row" }, conditional(page, reading, i, "x")),
    h("td", { class: "number" }, full(num(tokens))),
    h("td", { class: same ? "same" : "same differs" }, same ? "=" : "≠"),
    h("td", {}, conditional(page, reading, i, "e")),
    h("td", { class: "number" }, full(num(embeddings))),
  );
}
