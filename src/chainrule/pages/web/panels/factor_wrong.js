/** The wrong way beside the right one: logits that are added, without the softmax. */

import { length, num } from "chainrule/data.js";
import { button, clear, h, scroller } from "chainrule/dom.js";
import { tokenElement } from "chainrule/notation.js";
import { full } from "chainrule/numbers.js";
import { isPseudo } from "chainrule/panels/contexts.js";
import { subheading } from "chainrule/panels/parts.js";

const AROUND = 3; // tokens shown on each side of the replaced one
const FEW = 12; // rows that are shown at first

/** The text and its replacements, by the sum of logits and by probability. */
export function wrongWay(element, page, reading, openings) {
  if (openings.raw_sum === undefined || openings.raw_sum === null) return null;
  const variants = page.data.variants ?? [];
  const rows = [
    { index: -1, variant: null, sum: openings.raw_sum, logprob: reading.total.logprob },
    ...variants
      .map((variant, index) => ({ index, variant, sum: variant.raw_sum, logprob: variant.total_logprob }))
      .filter(({ variant, sum }) => variant.kind === "replace" && sum !== undefined && sum !== null),
  ];
  return h(
    "div",
    { class: "wrong" },
    subheading(element, "The wrong way: adding logits"),
    h("p", {}, explanation(reading)),
    verdict(openings.wrong, length(reading)),
    tableOf(page, reading, rows, openings.wrong),
  );
}

/** The table: the text, the chosen texts and some others; a button for all. */
function tableOf(page, reading, rows, wrong) {
  const line = (row) => lineOf(page, reading, row, wrong);
  const body = h("tbody", {}, fewOf(rows, wrong).map(line));
  const more = h("div", { class: "buttons no-print" });
  const all = () => {
    clear(body, rows.map(line));
    clear(more);
  };
  if (rows.length > FEW) more.append(button(`Show all ${rows.length} texts`, all));
  return [scroller("Sums of logits beside log probabilities: table", table(reading, body, wrong)), more];
}

function fewOf(rows, wrong) {
  const chosen = (row) =>
    row.index === -1 || row.index === wrong?.best_by_logits || row.index === wrong?.best_by_probability;
  const others = rows.filter((row) => !chosen(row)).slice(0, FEW - rows.filter(chosen).length);
  return rows.length > FEW ? rows.filter((row) => chosen(row) || others.includes(row)) : rows;
}

function explanation(reading) {
  const score = isPseudo(reading) ? "the pseudo-log-likelihood" : "the log probability";
  return (
    "Logits of different steps have no common zero: to each step's logits any number could be added, and its " +
    `probabilities would be the same. So a sum of raw logits does not rank texts; ${score} does, since the ` +
    "softmax subtracts log Σ exp(z) at each step."
  );
}

function verdict(wrong, factors) {
  if (!wrong) return null;
  const same = wrong.best_by_logits === wrong.best_by_probability;
  const text = same
    ? factors === 1
      ? "Here both ways choose the same text: within one step, logits rank tokens as probabilities do."
      : "Here both ways choose the same text, which is luck."
    : "Here the two ways choose different texts: the sum of logits chooses the wrong one.";
  return h("p", {}, h("strong", {}, text));
}

function table(reading, body, wrong) {
  const names = [
    "Text",
    "Sum of logits",
    isPseudo(reading) ? "Pseudo-log-likelihood" : `log ${reading.whole}`,
    ...(wrong ? ["Chosen by"] : []),
  ];
  return h(
    "table",
    {},
    h(
      "thead",
      {},
      h(
        "tr",
        {},
        names.map((name, k) => h("th", { scope: "col", class: k === 1 || k === 2 ? "number" : null }, name)),
      ),
    ),
    body,
  );
}

function lineOf(page, reading, { index, variant, sum, logprob }, wrong) {
  const chosen = [
    wrong?.best_by_logits === index ? h("span", { class: "high" }, "✗ sum of logits") : null,
    wrong?.best_by_probability === index ? h("span", { class: "low" }, "✓ probability") : null,
  ].filter(Boolean);
  return h(
    "tr",
    { class: chosen.length ? "chosen-row" : null },
    h(
      "th",
      { scope: "row" },
      variant ? replaced(page, reading, variant) : ["the text: ", excerpt(page, reading, 0, 2 * AROUND + 1)],
    ),
    h("td", { class: "number" }, full(num(sum))),
    h("td", { class: "number" }, full(num(logprob))),
    wrong
      ? h(
          "td",
          {},
          chosen.flatMap((mark, k) => (k ? [", ", mark] : [mark])),
        )
      : null,
  );
}

/** "… I need [to] umbrella …": the new token between the tokens around it. */
function replaced(page, reading, { position, t }) {
  const from = Math.max(position - AROUND, 0);
  const to = Math.min(position + AROUND + 1, reading.sequence.length);
  return [
    excerpt(page, reading, from, position, true),
    " ",
    h("mark", {}, tokenElement(page, t)),
    " ",
    excerpt(page, reading, position + 1, to),
  ];
}

/** Tokens from one position to another in their visible forms; "…" where the text goes on. */
function excerpt(page, reading, from, to, before = false) {
  const ids = reading.sequence.slice(from, to);
  const more = to < reading.sequence.length && !before;
  return [
    before && from > 0 ? "… " : null,
    ...ids.flatMap((id, k) => (k ? [" ", tokenElement(page, id)] : [tokenElement(page, id)])),
    more ? " …" : null,
  ].filter((part) => part !== null);
}
