/** The beginning and the end of the product: its base case, and the total. */

import { hasStart, num } from "chainrule/data.js";
import { h } from "chainrule/dom.js";
import { start, tokenElement, x } from "chainrule/notation.js";
import { count, digits, full, typeset } from "chainrule/numbers.js";
import { isPseudo } from "chainrule/panels/contexts.js";
import { subheading } from "chainrule/panels/parts.js";

/** The base case in a sentence: what is given, and so has no factor. */
export function baseCase(page, reading) {
  return h(
    "div",
    { class: "base-case" },
    h("p", {}, startSentence(page, reading), givenSentence(page, reading)),
    remarks(reading),
  );
}

function startSentence(page, reading) {
  if (!hasStart(reading)) return null;
  const course = page.notation.value === "course";
  const token = [start(page, "x"), " = ", tokenElement(page, reading.start.t)];
  const policy = ` (start policy “${reading.start.policy}”)`;
  return course
    ? [
        h("strong", {}, "Base case: "),
        "Pr(",
        start(page, "x"),
        ") = 1. The start symbol ",
        ...token,
        policy,
        " is certain, and multiplies by 1. ",
      ]
    : [
        h("strong", {}, "Base case: "),
        "the start symbol ",
        ...token,
        policy,
        " is given: it has no factor. ",
      ];
}

function givenSentence(page, reading) {
  if (!reading.given) return null;
  const last = reading.given - 1;
  const range = last
    ? [x(page, reading, 0), " … ", x(page, reading, last), " are"]
    : [x(page, reading, 0), " is"];
  return [
    hasStart(reading) ? null : h("strong", {}, "Base case: "),
    ...range,
    " given, without a factor. So the product is a conditional probability, not a joint one.",
  ].filter(Boolean);
}

function remarks(reading) {
  const sentences = [sentence(reading.condition), ...(reading.remarks ?? []).map(sentence)];
  return h("p", { class: "note" }, sentences.join(" "));
}

function sentence(text) {
  const whole = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/u.test(whole) ? whole : `${whole}.`;
}

/** The total, with what is computed from it. */
export function total(element, page, reading) {
  const { logprob, probability, perplexity, bits, bits_per_byte: perByte } = reading.total;
  const pseudo = isPseudo(reading);
  const items = [
    pseudo ? null : item(reading.whole, typeset(probability ?? ""), null),
    item(pseudo ? "Pseudo-log-likelihood" : `log ${reading.whole}`, full(num(logprob)), "nats"),
    item(pseudo ? "The same, negative, in bits" : `−log₂ ${reading.whole}`, full(num(bits)), "bits"),
    item(
      pseudo ? "Pseudo-perplexity" : "Perplexity",
      digits(num(perplexity)),
      `over ${count(reading.logprob.length, "factor")}`,
    ),
    perByte === null ? null : item("Bits per byte", digits(num(perByte)), "of the text"),
  ];
  const warning = h(
    "p",
    { class: "warning" },
    "This score is no probability: its exp does not sum to 1 over all texts, since each factor is conditioned " +
      "on the other tokens, also on those after it.",
  );
  return h("div", { class: "total" }, subheading(element, "The total"), h("dl", {}, items), pseudo ? warning : null);
}

function item(name, value, unit) {
  return h(
    "div",
    {},
    h("dt", {}, name),
    h("dd", {}, h("span", { class: "number" }, value), unit ? ` ${unit}` : null),
  );
}
