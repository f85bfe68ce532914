/** Panel f: a text that grows token by token, by one method or by two beside each other. */

import { button, clear, field, h, select } from "chainrule/dom.js";
import { capital, drawMethod, partOf, verdict } from "chainrule/panels/growing_method.js";
import { absent, asking, choice, drawn, heading } from "chainrule/panels/parts.js";

const METHODS = [
  ["", "greedy, best and beam"],
  ["greedy", "greedy"],
  ["best", "best"],
  ["beam", "beam"],
  ["sample", "sample"],
];

/** Draw the panel. */
export function mount(element, page) {
  const state = { element, page, growths: null, views: [], view: null, shown: 0, step: 0 };
  const body = h("div");
  clear(
    element,
    heading(
      element,
      "Growing",
      "The text goes on, one token at a time: the context, the rule that chooses, and the running product.",
    ),
    page.live ? liveForm(page) : null,
    body,
  );
  drawn([page.changed, page.notation], () => draw(body, state));
}

function draw(body, state) {
  const { growths } = state.page.data;
  if (!growths?.methods.length) {
    state.growths = null;
    clear(
      body,
      absent(
        state.page,
        "growths",
        "This page has no text that grows: make it with growths, or open it from chainrule serve.",
      ),
    );
    return;
  }
  if (growths !== state.growths) begin(state, growths);
  const columns = h("div", { class: "columns" });
  const words = h("div", { class: "words" });
  const steps = stepControls(state, () => show(state, columns, words));
  const views = choice(
    "Methods",
    state.views.map(({ name, label }) => [name, label]),
    state.view.name,
    (name) => {
      state.view = state.views.find((view) => view.name === name);
      state.shown = Math.min(state.shown, lengthOf(state));
      steps.update();
      show(state, columns, words);
    },
  );
  clear(body, state.views.length > 1 ? views.element : null, steps.element, columns, words);
  steps.update();
  show(state, columns, words);
}

/** New texts: two methods beside each other if there are two, with all steps. */
function begin(state, growths) {
  state.growths = growths;
  const alone = growths.methods.map((method, k) => ({
    name: String(k),
    label: capital(method.method),
    methods: [method],
  }));
  const greedy = growths.methods.find((method) => method.method === "greedy");
  const others = greedy ? growths.methods.filter((method) => method !== greedy) : [];
  const beside = others.map((other) => ({
    name: `greedy ${other.method}`,
    label: `Greedy beside ${other.method}`,
    methods: [greedy, other],
  }));
  state.views = [...beside, ...alone];
  state.view = state.views[0];
  state.shown = lengthOf(state);
  state.step = 0;
  const part = partOf(state.view.methods);
  if (part !== null) state.step = part;
}

function lengthOf({ view }) {
  return Math.max(...view.methods.map((method) => method.t.length));
}

/** First, back, next, all: the buttons, and the arrow keys on them. */
function stepControls(state, act) {
  const where = h("span", { class: "where" });
  const go = (shown) => {
    state.shown = Math.min(Math.max(shown, 1), lengthOf(state));
    state.step = state.shown - 1;
    update();
    act();
    state.page.announce(`${where.textContent}. ${state.element.querySelector(".now")?.textContent ?? ""}`);
  };
  const moves = {
    First: () => go(1),
    Back: () => go(state.shown - 1),
    Next: () => go(state.shown + 1),
    All: () => go(lengthOf(state)),
  };
  const [first, back, next, all] = Object.entries(moves).map(([label, move]) => button(label, move));
  const update = () => {
    where.textContent = `step ${state.shown} of ${lengthOf(state)}`;
    // a button that is disabled would lose the focus
    [first, back].forEach((each) => each.setAttribute("aria-disabled", String(state.shown <= 1)));
    [next, all].forEach((each) => each.setAttribute("aria-disabled", String(state.shown >= lengthOf(state))));
  };
  const keys = { ArrowLeft: moves.Back, ArrowRight: moves.Next, Home: moves.First, End: moves.All };
  const onkeydown = (event) => {
    if (!keys[event.key] || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    keys[event.key]();
  };
  const label = "Steps: the arrow keys go back and on";
  const element = h(
    "div",
    { class: "steps no-print", role: "group", "aria-label": label, onkeydown },
    first,
    back,
    where,
    next,
    all,
  );
  return { element, update };
}

function show(state, columns, words) {
  const part = partOf(state.view.methods);
  const choose = (step, k) => {
    state.step = step;
    show(state, columns, words);
    columns.children[k].querySelectorAll(".step")[step].focus();
  };
  clear(
    columns,
    state.view.methods.map((method, k) => drawMethod(state, method, part, (step) => choose(step, k))),
  );
  const done = state.shown >= lengthOf(state);
  clear(words, done && state.view.methods.length > 1 ? verdict(state.page, state.view.methods, part) : null);
}

function liveForm(page) {
  const method = select(METHODS, "", (value) => (seed.parentElement.hidden = value !== "sample"));
  const tokens = h("input", { type: "number", min: 1, max: 64, value: "6" });
  const seed = h("input", { type: "number", min: 0, value: "0" });
  const ask = async () => {
    const more = { method: method.value || null, max_tokens: Number(tokens.value) };
    await page.live.ask("growths", method.value === "sample" ? { ...more, seed: Number(seed.value) } : more);
  };
  const fields = [field("Method", method), field("Tokens", tokens), field("Seed", seed, { hidden: true })];
  return asking("Grow", ask, ...fields);
}
