/** The cells of the table, its rows and columns. */

import { button, clear, field, h, scroller } from "chainrule/dom.js";
import { digits } from "chainrule/numbers.js";
import { contextOf, contextText, tokenOf } from "chainrule/panels/table_formula.js";
import { exactSum, logSumExp, rowLogprobs, rowProblem } from "chainrule/panels/table_model.js";
import { typed } from "chainrule/typed.js";

const MOST = 12; // tokens, and tokens of a context

/** Draw the table with an input for each number. */
export function drawEditor(state) {
  const { page, tokens, rows, probabilities } = state;
  const last = probabilities ? "Sum" : "log Σ exp";
  const table = h(
    "table",
    { class: "cells" },
    h(
      "caption",
      {},
      probabilities ? "Pr(next token | context)" : "Logits of the next token, and below each its probability",
    ),
    h(
      "thead",
      {},
      h(
        "tr",
        {},
        h("th", { scope: "col" }, "Context"),
        tokens.map((t) => columnHead(state, t)),
        h("th", { scope: "col" }, last),
        h("td"),
      ),
    ),
    h(
      "tbody",
      {},
      rows.map((row) => drawRow(state, row)),
    ),
  );
  clear(state.places.editor, scroller("The table", table), additions(state));
  for (const row of rows) row.update();
  return page;
}

function columnHead(state, token) {
  const remove = button("×", () => removeToken(state, token), {
    class: "remove",
    "aria-label": `Remove the token ${token}`,
  });
  return h("th", { scope: "col" }, tokenOf(token), " ", state.tokens.length > 1 ? remove : null);
}

function drawRow(state, row) {
  const where = contextText(state.page, row.context);
  const shares = state.tokens.map(() => h("span", { class: "below" }));
  const inputs = row.cells.map((cell, v) => cellInput(state, row, v, where, cell));
  const sum = h("td", { class: "number" });
  const message = h("td", { class: "message" });
  row.update = () => updateRow(state, row, { inputs, shares, sum, message });
  const context = h(
    "th",
    { scope: "row" },
    contextOf(state.page, row.context),
    " ",
    removal(state, row, where),
  );
  return h(
    "tr",
    {},
    context,
    inputs.map((input, v) => h("td", {}, input, shares[v])),
    sum,
    message,
  );
}

function cellInput(state, row, v, where, cell) {
  const token = state.tokens[v];
  const name = state.probabilities ? `Pr(${token} | ${where})` : `Logit of ${token} after ${where}`;
  const input = h("input", {
    type: "text",
    inputmode: "text",
    autocomplete: "off",
    value: cell,
    "aria-label": name,
  });
  input.addEventListener("input", () => {
    row.cells[v] = input.value;
    row.update();
    state.results();
  });
  return input;
}

/** What the numbers of a row give, or what is wrong with them. */
function updateRow(state, row, { inputs, shares, sum, message }) {
  const values = row.cells.map(typed);
  const numbers = values.map(({ value }) => value ?? NaN);
  const problem = rowProblem(numbers, state.probabilities);
  inputs.forEach((input, v) => {
    const wrong = Number.isNaN(numbers[v]) || (state.probabilities && numbers[v] < 0);
    if (wrong) input.setAttribute("aria-invalid", "true");
    else input.removeAttribute("aria-invalid");
  });
  const whole = state.probabilities ? exactSum(numbers) : logSumExp(numbers);
  sum.textContent = Number.isNaN(whole) ? "" : digits(whole, state.probabilities ? 10 : 6);
  const logprobs = problem || state.probabilities ? null : rowLogprobs(numbers, false);
  shares.forEach((share, v) => (share.textContent = logprobs ? digits(Math.exp(logprobs[v]), 4) : ""));
  clear(message, problem ? warning(state, row, numbers, problem, values) : null);
}

function warning(state, row, numbers, problem, values) {
  const typing = values.find((value) => value.problem)?.problem;
  const divide = () => {
    const sum = exactSum(numbers);
    row.cells = numbers.map((x) => String(x / sum));
    state.redraw();
    state.page.announce("The row sums to 1 now.");
  };
  const mend = problem.kind === "sum" && problem.sum > 0 ? button("Divide by the sum", divide) : null;
  return [h("span", { role: "status" }, typing ?? problem.message), " ", mend];
}

function removal(state, row, where) {
  if (!row.context.length) return null;
  const remove = () => {
    state.rows.splice(state.rows.indexOf(row), 1);
    changed(state, `The row of ${where} is removed.`);
  };
  return button("×", remove, { class: "remove", "aria-label": `Remove the row of ${where}` });
}

function removeToken(state, token) {
  const v = state.tokens.indexOf(token);
  state.tokens.splice(v, 1);
  state.rows = state.rows.filter(({ context }) => !context.includes(token));
  state.rows.forEach(({ cells }) => cells.splice(v, 1));
  state.text = state.text.filter((t) => t !== token);
  state.texts = state.texts.filter((text) => !text.includes(token));
  changed(state, `The token ${token} is removed.`);
}

/** The fields that add a token or a context. */
function additions(state) {
  const message = h("p", { class: "note", role: "status" });
  const line = (label, add, submit) => {
    const input = h("input", { type: "text", autocomplete: "off", size: 8 });
    const act = (event) => {
      event.preventDefault();
      message.textContent = add(state, input.value.trim()) ?? "";
    };
    return h(
      "form",
      { onsubmit: act, class: "add" },
      field(label, input),
      h("button", { type: "submit" }, submit),
    );
  };
  return h(
    "div",
    { class: "no-print additions" },
    line("New token", addToken, "Add the token"),
    line("New context, tokens with spaces", addContext, "Add the row"),
    message,
  );
}

/** Add a column of zeros. Returns what is wrong. */
function addToken(state, token) {
  if (!token || /\s/.test(token)) return "A token is some characters without a space.";
  if (state.tokens.includes(token)) return `The table has a token ${token} already.`;
  if (state.tokens.length >= MOST) return `A table of this page has at most ${MOST} tokens.`;
  state.tokens.push(token);
  state.rows.forEach(({ cells }) => cells.push("0"));
  changed(state, `The token ${token} is added.`);
  return null;
}

/** Add a row: its tokens are equally probable. Returns what is wrong. */
function addContext(state, text) {
  const context = text.split(/\s+/).filter(Boolean);
  const unknown = context.find((token) => !state.tokens.includes(token));
  if (unknown !== undefined) return `The table has no token ${unknown}.`;
  if (context.length > MOST) return `A context of this page has at most ${MOST} tokens.`;
  if (state.rows.some((row) => row.context.join(" ") === context.join(" ")))
    return "The table has this row already.";
  const cells = state.tokens.map(() => (state.probabilities ? String(1 / state.tokens.length) : "0"));
  state.rows.push({ context, cells });
  changed(state, "The row is added.");
  return null;
}

function changed(state, words) {
  drawEditor(state);
  state.results();
  state.page.announce(words);
}
