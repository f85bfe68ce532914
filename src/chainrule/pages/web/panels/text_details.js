/** The factor of one token, in words and numbers. */

import { factor, hasStart } from "chainrule/data.js";
import { h } from "chainrule/dom.js";
import { conditional, tokenElement, x } from "chainrule/notation.js";
import { count, full, grouped, probability } from "chainrule/numbers.js";
import { contextTokens } from "chainrule/panels/contexts.js";
import { measure } from "chainrule/panels/figures.js";
import { subheading } from "chainrule/panels/parts.js";

/** The details of a position; i: its factor, undefined for a token that is given. */
export function details(element, page, reading, position, i) {
  const title = subheading(
    element,
    x(page, reading, position),
    " = ",
    tokenElement(page, reading.sequence[position]),
  );
  return i === undefined
    ? [title, given()]
    : [title, ofFactor(page, reading, i), mostProbable(page, reading, i)];
}

function given() {
  return h(
    "p",
    {},
    "This token is given: it has no factor. The factors of the tokens after it are conditioned on it.",
  );
}

function ofFactor(page, reading, i) {
  const { id, position, context, logprob, probability: value, surprisal, entropy, rank } = factor(reading, i);
  return h(
    "dl",
    {},
    item("Factor", conditional(page, reading, i)),
    item("Token", tokenElement(page, id), ` id ${id}, position ${position}`),
    item("Pr", h("span", { class: "number" }, full(value))),
    item("log Pr", h("span", { class: "number" }, full(logprob)), " nats"),
    item("Surprisal", h("span", { class: "number" }, full(surprisal)), " bits"),
    rank === null ? null : item("Rank", grouped(rank), vocabulary(page)),
    entropy === null ? null : item("Entropy", h("span", { class: "number" }, full(entropy)), " bits"),
    item("Given", ...contextTokens(page, reading, context), ` – ${embeddings(reading, i)}`),
  );
}

function vocabulary(page) {
  const size = page.data.model?.vocabulary;
  return size ? ` of ${grouped(size)}` : null;
}

function embeddings(reading, i) {
  const n = reading.contexts[i];
  return count(n, "embedding") + (hasStart(reading) && n > 1 ? ", the start symbol's first" : "");
}

function item(name, ...value) {
  return h("div", {}, h("dt", {}, name), h("dd", {}, value));
}

/** The most probable tokens as bars; the token itself is marked, or added after them. */
function mostProbable(page, reading, i) {
  const { id, top, probability: value, rank } = factor(reading, i);
  if (!top.length) return null;
  const rows = top.map((entry, k) => ({ ...entry, rank: k + 1, own: entry.id === id }));
  if (!rows.some((row) => row.own)) rows.push({ id, probability: value, rank, own: true });
  return h(
    "table",
    { class: "top" },
    h("caption", {}, `The ${top.length} most probable`),
    h(
      "thead",
      { class: "hidden" },
      h(
        "tr",
        {},
        ["Rank", "Token", "Bar", "Pr"].map((name) => h("th", { scope: "col" }, name)),
      ),
    ),
    h(
      "tbody",
      {},
      rows.map((row) => topRow(page, row)),
    ),
  );
}

function topRow(page, { id, probability: value, rank, own }) {
  return h(
    "tr",
    { class: own ? "own" : null },
    h("td", { class: "number quiet" }, rank === null ? "" : grouped(rank)),
    h(
      "th",
      { scope: "row" },
      tokenElement(page, id),
      own ? h("span", { class: "chosen" }, " ◂", h("span", {}, " this token")) : null,
    ),
    h("td", { class: "bar" }, measure(value, own ? { class: "measure own" } : {})),
    h("td", { class: "number" }, probability(value)),
  );
}
