/** A text under the table: its factors, their product, the sum of their logs. */

import { button, clear, field, h, scroller } from "chainrule/dom.js";
import { count, decimals, digits, probability } from "chainrule/numbers.js";
import { choice, subheading } from "chainrule/panels/parts.js";
import { factorOf, tokenOf, tokensOf } from "chainrule/panels/table_formula.js";
import { TableError, exactSum, factors, runningSums } from "chainrule/panels/table_model.js";

const SHOWN = 12; // factors of a long text
const MOST = 100000; // tokens

/** Draw the text, with buttons to change it, and its factors. */
export function drawText(state, model) {
  const { places, text, repeat } = state;
  const names = Array.from({ length: repeat }, () => text).flat();
  const result = h("div", {}, attempt(state, model, names));
  clear(places.text, subheading(state.element, "A text and its factors"), chooser(state), result);
}

function attempt(state, model, names) {
  if (!names.length)
    return h("p", { class: "note" }, "Choose tokens. A text without tokens has the probability 1.");
  try {
    return drawFactors(
      state,
      factors(
        model,
        names.map((name) => state.tokens.indexOf(name)),
      ),
      names,
    );
  } catch (error) {
    if (error instanceof TableError) return h("p", { class: "warning" }, error.message);
    throw error;
  }
}

function chooser(state) {
  const set = (text, focus) => {
    state.text = text;
    if (text.length && state.tokens.length ** text.length <= 4096) state.length = text.length;
    state.results();
    state.places.text.querySelector(`[data-focus="${focus}"]`)?.focus();
    state.page.announce(state.places.text.querySelector(".total")?.textContent ?? "");
  };
  const add = state.tokens.map((t, v) =>
    button(["+ ", tokenOf(t)], () => set([...state.text, t], `add${v}`), {
      "data-focus": `add${v}`,
      "aria-label": `Append ${t}`,
    }),
  );
  const remove = button("Remove the last", () => set(state.text.slice(0, -1), "remove"), {
    "data-focus": "remove",
    disabled: !state.text.length,
  });
  return h(
    "div",
    { class: "chooser" },
    texts(state, set),
    h("p", { class: "text" }, shownText(state)),
    h("p", { class: "no-print" }, add, remove, times(state)),
  );
}

function texts(state, set) {
  const options = state.texts.map((text) => [text.join(" "), text.join(" ")]);
  const act = (value) => {
    const k = options.findIndex(([key]) => key === value);
    set(state.texts[k], "");
    state.places.text.querySelectorAll(".choice button")[k].focus();
  };
  return options.length > 1
    ? choice("Texts of this table", options, state.text.join(" "), act).element
    : null;
}

function shownText({ text, repeat }) {
  const tokens = text.length ? tokensOf(text) : "no tokens yet";
  return ["The text: ", tokens, repeat > 1 ? ` , ${repeat.toLocaleString("en")} times` : null];
}

function times(state) {
  const most = Math.max(1, Math.floor(MOST / Math.max(state.text.length, 1)));
  const input = h("input", { type: "number", min: 1, max: most, step: 1, value: String(state.repeat) });
  input.addEventListener("change", () => {
    const n = Math.trunc(Number(input.value));
    state.repeat = Number.isFinite(n) ? Math.min(Math.max(n, 1), most) : 1;
    state.results();
    state.places.text.querySelector("input[type=number]").focus();
  });
  return field("repeated", input, { class: "field times" });
}

function drawFactors(state, parts, names) {
  const logprobs = parts.map((f) => f.logprob);
  const sums = runningSums(logprobs);
  const products = runningProducts(logprobs);
  const rows =
    parts.length <= SHOWN ? [...parts.keys()] : [...Array(SHOWN - 2).keys(), null, parts.length - 1];
  const heads = [
    "Factor",
    ...(state.probabilities ? [] : ["Logit"]),
    "Pr",
    "log Pr, nats",
    "Running product",
    "Sum of logs, nats",
  ];
  const row = (i) =>
    i === null
      ? gap(parts.length - SHOWN + 1, heads.length)
      : factorRow(state, names, parts, i, products[i], sums[i]);
  const table = h(
    "table",
    {},
    h(
      "thead",
      {},
      h(
        "tr",
        {},
        heads.map((text, k) => h("th", { scope: "col", class: k ? "number" : null }, text)),
      ),
    ),
    h("tbody", {}, rows.map(row)),
  );
  return [scroller("The factors of the text", table), totals(state, parts, products.at(-1), sums.at(-1))];
}

/** The products of the first 1, 2, … probabilities, as a computer multiplies them. */
function runningProducts(logprobs) {
  let product = 1;
  return logprobs.map((x) => (product *= Math.exp(x)));
}

function factorRow(state, names, parts, i, product, sum) {
  const { number, logprob } = parts[i];
  const cells = [
    ...(state.probabilities ? [] : [digits(number)]),
    state.probabilities && Math.abs(Math.log(number) - logprob) < 1e-15
      ? digits(number)
      : probability(Math.exp(logprob), 6),
    decimals(logprob),
    digits(product),
    decimals(sum),
  ];
  return h(
    "tr",
    {},
    h("th", { scope: "row" }, factorOf(state.page, names, i)),
    cells.map((text) => h("td", { class: "number" }, text)),
  );
}

function gap(n, columns) {
  return h(
    "tr",
    {},
    h("td", { colspan: columns, class: "note" }, `… ${n.toLocaleString("en")} more factors …`),
  );
}

function totals(state, parts, product, sum) {
  const zero = parts.findIndex((f) => f.logprob === -Infinity);
  const underflow = product === 0 && zero < 0;
  const bits = sum / Math.LN2;
  return [
    h(
      "p",
      { class: "total" },
      `Product ${digits(product)}; sum of logs ${decimals(sum)} nats = ${decimals(bits)} bits, ` +
        `of ${count(parts.length, "factor")}.`,
    ),
    underflow
      ? h(
          "p",
          { class: "warning" },
          "Underflow: the product is 0 here, although no factor is 0. The sum of logs is right: " +
            `log₂ Pr(x) = ${digits(bits, 9)}.`,
        )
      : null,
    zero >= 0
      ? h(
          "p",
          { class: "remark" },
          `Factor ${zero + 1} is 0, so the text is impossible: its probability is 0, its log −∞.`,
        )
      : null,
    state.probabilities
      ? null
      : h(
          "p",
          { class: "wrong" },
          `The wrong way: the raw logits add up to ${digits(exactSum(parts.map((f) => f.number)))}, ` +
            "which is no log probability.",
        ),
  ];
}
