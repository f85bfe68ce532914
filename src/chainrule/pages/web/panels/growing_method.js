/** One text of panel f: its steps as a table, the alternatives of a step, and its whole. */

import { num } from "chainrule/data.js";
import { button, h, scroller } from "chainrule/dom.js";
import { index, symbol, tokenElement } from "chainrule/notation.js";
import { count, decimals, probability, typeset } from "chainrule/numbers.js";
import { difference, measure } from "chainrule/panels/figures.js";
import { subheading } from "chainrule/panels/parts.js";

const SHOWN = 3; // tokens of a context

/** A method: its steps so far, and the alternatives of a step. part: the step where two methods part. */
export function drawMethod(state, method, part, choose) {
  const { element, page, growths } = state;
  const shown = Math.min(state.shown, method.t.length);
  const step = Math.min(state.step, shown - 1);
  const rows = Array.from({ length: shown }, (_, n) => stepRow(state, method, n, { part, step, choose }));
  const heads = ["", "Context", "Predicted token", "Decision rule", "Pr", "Running product"];
  const numbers = heads.map((text) => /Pr$|product/.test(text));
  const headRow = heads.map((text, k) =>
    text
      ? h("th", { scope: "col", class: numbers[k] ? "number" : null }, text)
      : h("td", {}, h("span", { class: "hidden" }, "Step")),
  );
  const table = h("table", { class: "growth" }, h("thead", {}, h("tr", {}, headRow)), h("tbody", {}, rows));
  const whole = shown === method.t.length ? ending(page, growths, method) : null;
  return h(
    "div",
    { class: "column", "data-method": method.method },
    subheading(element, capital(method.method)),
    h("p", { class: "note" }, ruleText(method.rule)),
    scroller(`${method.method}: the steps`, table),
    alternatives(state, method, step),
    whole,
  );
}

/** The first step at which two methods take different tokens; null if there is none, or one method. */
export function partOf(methods) {
  if (methods.length < 2) return null;
  const [a, b] = methods.map((method) => method.t);
  const n = Math.max(a.length, b.length);
  const part = Array.from({ length: n }, (_, k) => a[k] !== b[k]).indexOf(true);
  return part < 0 ? null : part;
}

/** Where two texts part, and which is more probable in the end. */
export function verdict(page, [a, b], part) {
  if (part === null)
    return h(
      "p",
      {},
      `${capital(a.method)} and ${b.method} take the same tokens: here, greedy loses nothing.`,
    );
  const by = difference(num(b.total_logprob), num(a.total_logprob));
  const [more, less] = by >= 0 ? [b, a] : [a, b];
  const taken = (method) => (part < method.t.length ? tokenElement(page, method.t[part]) : "the end");
  const factor = (method) =>
    part < method.t.length ? ` with Pr ${probability(num(method.probability[part]))}` : "";
  return [
    h(
      "p",
      { class: "parting" },
      `They part at step ${part + 1}: ${a.method} takes `,
      taken(a),
      factor(a),
      `, ${b.method} takes `,
      taken(b),
      factor(b),
      ".",
    ),
    h(
      "p",
      { class: "winner" },
      h(
        "strong",
        {},
        `In the end ${more.method} has the more probable text, by ${decimals(Math.abs(by))} nats`,
      ),
      `: ${decimals(num(more.total_logprob))} beside ${decimals(num(less.total_logprob))} nats.`,
    ),
  ];
}

function stepRow(state, method, n, { part, step, choose }) {
  const { page } = state;
  const pressed = {
    class: "step",
    "aria-pressed": String(n === step),
    "aria-label": `Step ${n + 1}: show the alternatives`,
  };
  const parts = n === part ? h("span", { class: "parts" }, "◆ they part") : null;
  return h(
    "tr",
    { class: n === part ? "part" : null },
    h(
      "td",
      {},
      button(String(n + 1), () => choose(n), pressed),
    ),
    h("td", { class: "context" }, contextCell(state, method, n)),
    h(
      "th",
      { scope: "row" },
      tokenElement(page, method.t[n], { class: n === state.shown - 1 ? "now" : null }),
      parts,
    ),
    h("td", {}, ruleCell(state, method, n)),
    h("td", { class: "number" }, probability(num(method.probability[n]))),
    h("td", { class: "number" }, typeset(method.running_probability[n])),
  );
}

/** The last tokens of the context of a step: those of the text, then those that have grown. */
function contextCell({ page, growths }, method, n) {
  const whole = [...growths.context.map((t) => [t, false]), ...method.t.slice(0, n).map((t) => [t, true])];
  const cut = whole.length > SHOWN || growths.context.length < textLength(page);
  const shown = whole
    .slice(-SHOWN)
    .map(([t, grown]) => tokenElement(page, t, { class: grown ? "grown" : null }));
  return [cut ? "… " : null, shown.flatMap((token) => [token, " "])];
}

function textLength(page) {
  return page.reading("text")?.sequence.length ?? 0;
}

/** argmax Pr(x_10 | …) for greedy; for others, the rank of their token by Pr(x_10 | …). */
function ruleCell(state, method, n) {
  if (method.method !== "greedy") return `rank ${method.rank[n].toLocaleString("en")}`;
  return h("span", { class: "formula" }, "argmax Pr(", growing(state, n), " | …)");
}

/** x_10: the token of a step. An end symbol of the text is not part of its context. */
function growing({ page, growths }, n) {
  const reading = page.reading("text");
  if (!reading) return symbol("x", n + 1);
  const ended = growths.context.length > 0 && growths.context.at(-1) !== reading.sequence.at(-1);
  return symbol("x", index(page, reading, reading.sequence.length - (ended ? 1 : 0) + n));
}

/** The most probable tokens of a step, and the one that was taken. */
function alternatives(state, method, step) {
  const { page } = state;
  const top = method.top?.[step] ?? [];
  const taken = method.t[step];
  const rows = top.map(([t, , p]) => [t, num(p)]);
  if (!rows.some(([t]) => t === taken)) rows.push([taken, num(method.probability[step])]);
  const row = ([t, p]) =>
    h(
      "tr",
      { class: t === taken ? "taken" : null },
      h("th", { scope: "row" }, tokenElement(page, t)),
      h("td", {}, measure(p)),
      h("td", { class: "number" }, probability(p)),
      h("td", {}, t === taken ? ["✓", h("span", { class: "word" }, " taken")] : null),
    );
  const caption = h("caption", {}, `Step ${step + 1}: the most probable tokens`);
  return h("table", { class: "alternatives" }, caption, h("tbody", {}, rows.map(row)));
}

function ending(page, growths, method) {
  const last = method.running_probability.at(-1);
  return [
    h(
      "p",
      { class: "total" },
      `${count(method.t.length, "factor")}: log Pr = ${decimals(num(method.total_logprob))} nats, ` +
        `Pr = ${typeset(last)}`,
    ),
    method.certificate ? h("p", { class: "certificate" }, certificate(growths, method)) : null,
  ];
}

/** The proof of a best-first search, in words. */
function certificate(growths, { certificate: { certain, contexts, logprob_bound }, rule, total_logprob }) {
  // the rule of the method names the texts that it searches: all of a length, or fewer with the end symbol
  const length =
    /all texts of (.+?)( of the whole product)?$/.exec(rule)?.[1] ?? count(growths.max_tokens, "token");
  const comma = length.includes(",") ? "," : "";
  const computed = `${contexts.toLocaleString("en")} contexts`;
  if (certain) return `No text of ${length}${comma} is more probable: proven by ${computed}.`;
  return (
    `Not proven: the search ended after ${computed}. No other text of ${length}${comma} has a log Pr above ` +
    `${decimals(num(logprob_bound))} nats; this one has ${decimals(num(total_logprob))}.`
  );
}

/** The rule of a method, with x_n as a symbol. */
function ruleText(rule) {
  return rule.split("x_n").flatMap((part, k) => (k ? [symbol("x", "n"), part] : [part]));
}

/** A word with a capital at its beginning. */
export function capital(word) {
  return word.charAt(0).toUpperCase() + word.slice(1);
}
