/** All texts of a length: the most probable, the one that raw logits pick, and the greedy one. */

import { clear, field, h, scroller, select } from "chainrule/dom.js";
import { count, decimals, digits, probability } from "chainrule/numbers.js";
import { lazyRows } from "chainrule/panels/lazy_rows.js";
import { subheading } from "chainrule/panels/parts.js";
import { tokensOf } from "chainrule/panels/table_formula.js";
import {
  TableError,
  exactSum,
  greedyPaths,
  pseudoLogLikelihood,
  ranking,
} from "chainrule/panels/table_model.js";

const MOST = 4096; // texts

/** Draw the ranking of all texts. */
export function drawRanking(state, model) {
  const { places } = state;
  const lengths = Array.from({ length: 12 }, (_, n) => n + 1).filter((n) => state.tokens.length ** n <= MOST);
  state.length = Math.min(Math.max(state.length, 1), lengths.at(-1));
  const control = select(
    lengths.map((n) => [String(n), String(n)]),
    String(state.length),
    (value) => {
      state.length = Number(value);
      draw();
    },
  );
  const pseudo = h("input", { type: "checkbox", checked: state.pseudo });
  pseudo.addEventListener("change", () => {
    state.pseudo = pseudo.checked;
    draw();
  });
  const result = h("div");
  const draw = () => clear(result, attempt(state, model));
  clear(
    places.ranking,
    subheading(state.element, "All texts of a length"),
    h(
      "div",
      { class: "no-print" },
      field("Number of tokens", control),
      h("label", { class: "field" }, pseudo, "Pseudo-log-likelihood"),
    ),
    result,
  );
  draw();
}

function attempt(state, model) {
  try {
    const texts = ranking(model, state.length);
    return [summary(state, model, texts), table(state, model, texts)];
  } catch (error) {
    if (error instanceof TableError) return h("p", { class: "warning" }, error.message);
    throw error;
  }
}

function summary(state, model, texts) {
  const sum = exactSum(texts.map((text) => Math.exp(text.logprob)));
  const words = (ids) => tokensOf(ids.map((id) => state.tokens[id]));
  return [
    h(
      "p",
      { class: "sum" },
      `The probabilities of all ${count(texts.length, "text")} of ${count(state.length, "token")} ` +
        `sum to ${digits(sum, 10)}: a joint distribution.`,
    ),
    state.probabilities ? null : rawWinner(texts, words),
    greedyBesideBest(model, texts, state.length, words),
    state.pseudo ? pseudoSum(model, texts) : null,
  ];
}

function rawWinner(texts, words) {
  const wrong = texts.reduce((a, b) => (b.raw > a.raw ? b : a));
  const right = texts[0];
  const verdict =
    wrong.logprob === right.logprob
      ? "Here both pick the same text, which is luck."
      : "It is the wrong winner.";
  return h(
    "p",
    { class: "wrong" },
    "By sums of raw logits, ",
    words(wrong.ids),
    ` would win, with ${digits(wrong.raw)}. The most probable is `,
    words(right.ids),
    `. ${verdict}`,
  );
}

function greedyBesideBest(model, texts, length, words) {
  const find = (ids) => texts.find((text) => text.ids.join() === ids.join());
  const paths = greedyPaths(model, length).map(find);
  const top = texts[0].logprob;
  const named = (text) => [words(text.ids), ` (${decimals(text.logprob)} nats)`];
  const missed = paths.filter((text) => text.logprob !== top);
  const worst = missed.toSorted((a, b) => a.logprob - b.logprob)[0];
  const best = ["; the best is ", named(texts[0]), "."];
  if (paths.length === 1) {
    const same = [". It is the best: no text is more probable."];
    return h(
      "p",
      { class: "greedy" },
      "Greedy, the most probable token at each step, takes ",
      named(paths[0]),
      worst ? best : same,
    );
  }
  const may =
    missed.length === paths.length ? " All of its ways miss the best: it ends in, say, " : " It may end in ";
  const end = worst ? [may, named(worst), best] : [" All of its ways are the best."];
  return h(
    "p",
    { class: "greedy" },
    "Greedy meets tokens that are equally probable, and takes one of them.",
    end,
  );
}

function pseudoSum(model, texts) {
  const scores = texts.map((text) => pseudoLogLikelihood(model, text.ids)).filter((x) => !Number.isNaN(x));
  const sum = exactSum(scores.map(Math.exp));
  return h(
    "p",
    { class: "pseudo" },
    `The exponentials of the pseudo-log-likelihoods sum to ${digits(sum, 10)}: ` +
      "they are scores, not probabilities.",
  );
}

function table(state, model, texts) {
  const raws = texts.map((text) => text.raw).toSorted((a, b) => b - a);
  const heads = ["Rank", "Text", "Pr", "log Pr, nats"];
  if (!state.probabilities) heads.push("Raw logits", "Rank by them");
  if (state.pseudo) heads.push("Pseudo-log-likelihood");
  const row = (i) => {
    const { ids, logprob, raw } = texts[i];
    const cells = [probability(Math.exp(logprob), 6), decimals(logprob)];
    if (!state.probabilities) cells.push(digits(raw), String(raws.indexOf(raw) + 1));
    if (state.pseudo) cells.push(score(pseudoLogLikelihood(model, ids)));
    const rank = 1 + texts.findIndex((text) => text.logprob === logprob);
    const name = ids.map((id) => state.tokens[id]);
    const chosen = name.join(" ") === state.text.join(" ") && state.repeat === 1;
    const text = h(
      "th",
      { scope: "row" },
      tokensOf(name),
      chosen ? h("span", { class: "mark" }, " the text above") : null,
    );
    return h(
      "tr",
      { class: chosen ? "chosen" : null },
      h("td", { class: "number" }, String(rank)),
      text,
      cells.map((c) => h("td", { class: "number" }, c)),
    );
  };
  const body = h("tbody");
  const align = (k) => (k === 1 ? null : "number");
  const region = scroller(
    "All texts",
    h(
      "table",
      {},
      h(
        "thead",
        {},
        h(
          "tr",
          {},
          heads.map((text, k) => h("th", { scope: "col", class: align(k) }, text)),
        ),
      ),
      body,
    ),
  );
  region.classList.add("tall");
  lazyRows(body, texts.length, row, { region });
  return region;
}

function score(x) {
  return Number.isNaN(x) ? "undefined" : decimals(x);
}
