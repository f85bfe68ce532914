/** The steps of a factor as a list, in the order of the course. */

import { factor, num } from "chainrule/data.js";
import { h } from "chainrule/dom.js";
import { conditional, tokenElement } from "chainrule/notation.js";
import { count, digits, full, grouped, typeset } from "chainrule/numbers.js";
import { contextTokens } from "chainrule/panels/contexts.js";
import { inputsTable } from "chainrule/panels/factor_inputs.js";
import { measure } from "chainrule/panels/figures.js";

/** The items of the list. */
export function steps(view) {
  return [
    tokens(view),
    embeddings(view),
    hidden(view),
    logits(view),
    softmax(view),
    pick(view),
    multiply(view),
  ];
}

function step(name, shape, ...content) {
  return h(
    "li",
    {},
    h("p", { class: "step" }, h("strong", {}, name), shape ? h("span", { class: "shape" }, shape) : null),
    content,
  );
}

function tokens({ page, reading, factor: { context }, embeddings: m }) {
  return step(
    "Tokens",
    count(m, "id"),
    h("p", {}, "The context: ", ...contextTokens(page, reading, context, 14)),
  );
}

function embeddings(view) {
  const { openings, embeddings: m, sizes } = view;
  const [rows, width] = openings.table;
  return step(
    "Embeddings",
    `${grouped(m)} × ${grouped(sizes.e)}`,
    h(
      "p",
      {},
      `Each token is looked up in the table of ${grouped(rows)} × ${grouped(width)} numbers, by its id. `,
      openings.position.description,
    ),
    inputsTable(view),
  );
}

function hidden({ openings, i, sizes, embeddings: m }) {
  const from = m === 1 ? "the embedding" : `the ${grouped(m)} embeddings`;
  return step(
    "Hidden state",
    grouped(sizes.h),
    h(
      "p",
      {},
      `All layers of the network make one vector `,
      h("i", { class: "math" }, "h"),
      ` of ${from}. Its norm is `,
      number(digits(openings.hidden_norm[i])),
      ".",
    ),
  );
}

function logits(view) {
  const {
    page,
    openings,
    i,
    sizes,
    factor: { id, rank },
  } = view;
  const own = num(openings.logit[i]);
  const rows = openings.top_logits[i].map(([t, z], k) => ({ id: t, z: num(z), rank: k + 1, own: t === id }));
  if (!rows.some((row) => row.own)) rows.push({ id, z: own, rank, own: true });
  return step(
    "Logits",
    grouped(sizes.z),
    h(
      "p",
      {},
      "One number ",
      h("i", { class: "math" }, "z"),
      ` for each token of the vocabulary. That of `,
      tokenElement(page, id),
      " is ",
      number(full(own)),
      `, rank ${grouped(rank)}.`,
    ),
    logitTable(page, rows),
  );
}

function logitTable(page, rows) {
  const values = rows.map((row) => row.z).filter(Number.isFinite);
  const least = Math.min(0, ...values);
  const most = Math.max(0, ...values) - least || 1;
  return h(
    "table",
    { class: "logits" },
    h(
      "caption",
      {},
      least < 0
        ? `The highest logits; bars begin at ${digits(least, 4)}`
        : "The highest logits; bars begin at 0",
    ),
    h(
      "thead",
      { class: "hidden" },
      h(
        "tr",
        {},
        ["Rank", "Token", "Bar", "Logit"].map((name) => h("th", { scope: "col" }, name)),
      ),
    ),
    h(
      "tbody",
      {},
      rows.map(({ id, z, rank, own }) =>
        h(
          "tr",
          { class: own ? "own" : null },
          h("td", { class: "number quiet" }, grouped(rank)),
          h(
            "th",
            { scope: "row" },
            tokenElement(page, id),
            own ? h("span", { class: "chosen" }, " ◂ this token") : null,
          ),
          h("td", { class: "bar" }, measure((z - least) / most, own ? { class: "measure own" } : {})),
          h("td", { class: "number" }, digits(z)),
        ),
      ),
    ),
  );
}

function softmax({ openings, i, sizes, factor: { logprob } }) {
  return step(
    "Softmax",
    grouped(sizes.z),
    h(
      "p",
      {},
      "From every logit the log of the sum of all exp(",
      h("i", { class: "math" }, "z"),
      ") is subtracted. So the probabilities of all tokens sum to 1.",
    ),
    equation(
      [h("i", {}, "z"), full(num(openings.logit[i]))],
      "−",
      ["log Σ exp(", h("i", {}, "z"), ")", full(num(openings.logsumexp[i]))],
      "=",
      ["log Pr", full(logprob)],
    ),
  );
}

function pick({ page, reading, i, factor: { id, probability } }) {
  return step(
    "Pick the factor",
    "1 number",
    h(
      "p",
      {},
      "Of all probabilities, that of ",
      tokenElement(page, id),
      ": ",
      conditional(page, reading, i),
      " = exp(log Pr) = ",
      number(full(probability)),
    ),
  );
}

function multiply({ reading, i, factor: { probability, logprob, runningProbability, runningLogprob } }) {
  const before = i ? factor(reading, i - 1) : { runningProbability: "1", runningLogprob: 0 };
  const sum = equation(["sum before", full(before.runningLogprob)], "+", ["log Pr", full(logprob)], "=", [
    "sum after",
    full(runningLogprob),
  ]);
  if (runningProbability === null)
    return step(
      "Add its log",
      "1 number",
      h("p", {}, "The sum is a pseudo-log-likelihood: a score, not a probability."),
      sum,
    );
  return step(
    "Multiply",
    "1 number",
    equation(["product before", typeset(before.runningProbability)], "·", ["Pr", digits(probability)], "=", [
      "product after",
      typeset(runningProbability),
    ]),
    h("p", {}, "In logs, which do not become too small:"),
    sum,
  );
}

/** Numbers with their names above them, and signs between. The last item of each term is its number. */
function equation(...parts) {
  const terms = parts.filter((part) => typeof part !== "string");
  return h(
    "div",
    { class: "equation" },
    terms.map((part, k) => term(part, k ? parts[2 * k - 1] : "")),
  );
}

function term(part, sign) {
  const value = h("span", {}, sign ? `${sign} ` : null, number(part.at(-1)));
  return h("span", { class: "term" }, h("span", { class: "term-name" }, part.slice(0, -1)), " ", value);
}

function number(text) {
  return h("span", { class: "number" }, text);
}
