/** Multiplying step by step: the running product is shown one factor at a time. */

import { factor, length } from "chainrule/data.js";
import { button, clear, h } from "chainrule/dom.js";
import { conditional } from "chainrule/notation.js";
import { digits, full, typeset } from "chainrule/numbers.js";
import { isPseudo } from "chainrule/panels/contexts.js";

/** {element(scale), update()}: buttons beside another control, and the present multiplication. state.step: factors multiplied; null: all. */
export function stepper(view) {
  const { reading, state, selected } = view;
  const n = length(reading);
  const equation = h("p", { class: "equation", role: "status" });
  const go = (step) => {
    state.step = step >= n ? n : Math.max(step, 0);
    if (state.step) {
      view.rows.grow(state.step);
      selected.set(state.step - 1);
    }
    update();
    view.rows.elements[state.step - 1]?.scrollIntoView({ block: "nearest" });
  };
  const name = isPseudo(reading) ? "Add step by step" : "Multiply step by step";
  const begin = button(name, () => (state.step === null ? go(0) : leave()), { class: "begin" });
  const leave = () => {
    state.step = null;
    update();
  };
  const controls = controlButtons(state, n, go);
  const element = (scale) =>
    h("div", { class: "steps no-print" }, h("div", { class: "buttons" }, scale, begin, controls.element), equation);
  controls.element.addEventListener("keydown", (event) => arrow(event, state, go));
  const update = () => {
    begin.textContent = state.step === null ? name : "Show all at once";
    controls.update();
    view.rows.elements.forEach((row, i) =>
      row.toggleAttribute("data-hidden", state.step !== null && i >= state.step),
    );
    view.end.hidden = state.step !== null && state.step < n;
    equation.hidden = state.step === null;
    if (state.step !== null) clear(equation, inWords(view, state.step));
  };
  return { element, update };
}

function controlButtons(state, n, go) {
  const first = button("First", () => go(0));
  const back = button("Back", () => go(state.step - 1));
  const next = button("Next", () => go(state.step + 1), { class: "main" });
  const all = button("All", () => go(n));
  const element = h(
    "span",
    { class: "buttons", role: "group", "aria-label": "Steps" },
    first,
    back,
    next,
    all,
  );
  const update = () => {
    element.hidden = state.step === null;
    // Not the attribute `disabled`, which would take the focus away at the last step.
    for (const control of [first, back]) control.setAttribute("aria-disabled", String(state.step === 0));
    for (const control of [next, all]) control.setAttribute("aria-disabled", String(state.step === n));
  };
  return { element, update };
}

function arrow(event, state, go) {
  const by = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
  if (!by) return;
  event.preventDefault();
  go(state.step + by);
}

/** The multiplication of a step: 7.07 × 10⁻⁸ = 1.62 × 10⁻⁵ · 0.00436. For a score, the addition. */
function inWords({ page, reading }, step) {
  const pseudo = isPseudo(reading);
  if (step === 0) return [`Nothing is ${pseudo ? "added" : "multiplied"} yet: `, number(pseudo ? "0" : "1")];
  const { logprob, probability, runningProbability, runningLogprob } = factor(reading, step - 1);
  const before = step > 1 ? factor(reading, step - 2) : { runningProbability: "1", runningLogprob: 0 };
  const lead = [`Step ${step}: `, conditional(page, reading, step - 1), h("br")];
  if (pseudo)
    return [
      ...lead,
      number(full(before.runningLogprob)),
      " + ",
      number(bracketed(logprob)),
      " = ",
      result(full(runningLogprob)),
    ];
  return [
    ...lead,
    number(typeset(before.runningProbability)),
    " · ",
    number(digits(probability)),
    " = ",
    result(typeset(runningProbability)),
  ];
}

function bracketed(x) {
  return `(${full(x)})`;
}

function number(text) {
  return h("span", { class: "number" }, text);
}

function result(text) {
  return h("strong", { class: "number" }, text);
}
