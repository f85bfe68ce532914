/** Panel h: a small table of conditionals to edit by hand. It computes as chainrule.TableModel does. */

import { clear, field, h } from "chainrule/dom.js";
import { choice, heading } from "chainrule/panels/parts.js";
import { CASES } from "chainrule/panels/table_cases.js";
import { drawEditor } from "chainrule/panels/table_editor.js";
import { TableError, compile, rowLogprobs } from "chainrule/panels/table_model.js";
import { drawRanking } from "chainrule/panels/table_ranking.js";
import { drawText } from "chainrule/panels/table_text.js";
import { typed } from "chainrule/typed.js";

const KINDS = [
  ["probabilities", "probabilities"],
  ["logits", "logits"],
];

/** Draw the panel. data-case: the case shown first. */
export function mount(element, page) {
  const first = CASES[element.dataset.case] ? element.dataset.case : "product";
  const places = Object.fromEntries(
    ["note", "controls", "editor", "text", "ranking"].map((name) => [name, h("div")]),
  );
  const state = { element, page, places, ...stateOf(first) };
  const results = () => drawResults(state);
  state.results = results;
  state.redraw = () => {
    drawControls(state);
    drawEditor(state);
    results();
  };
  const begin = (name) => {
    Object.assign(state, stateOf(name));
    clear(places.note, h("p", {}, CASES[name].note));
    state.redraw();
  };
  const cases = choice(
    "Tables to begin with",
    Object.entries(CASES).map(([name, { label }]) => [name, label]),
    first,
    begin,
  );
  clear(
    element,
    heading(
      element,
      "A table of your own",
      "A model that is a table: Pr(next token | context), for you to edit. It computes here, in the page.",
    ),
    cases.element,
    places.note,
    places.controls,
    places.editor,
    places.text,
    places.ranking,
  );
  begin(first);
  page.notation.subscribe(state.redraw);
}

/** The state of the panel for a case: all cells are text, as it was typed. */
function stateOf(name) {
  const { tokens, rows, texts, probabilities, backOff, repeat = 1, pseudo = false } = CASES[name];
  const words = (text) => text.split(" ").filter(Boolean);
  return {
    tokens: [...tokens],
    rows: rows.map(([context, cells]) => ({ context: words(context), cells: [...cells] })),
    texts: texts.map(words),
    text: words(texts[0]),
    length: CASES[name].length ?? words(texts[0]).length,
    ...{ probabilities, backOff, repeat, pseudo },
  };
}

function drawControls(state) {
  const kinds = choice("The numbers are", KINDS, state.probabilities ? "probabilities" : "logits", (kind) =>
    convert(state, kind),
  );
  const backOff = h("input", { type: "checkbox", checked: state.backOff });
  backOff.addEventListener("change", () => {
    state.backOff = backOff.checked;
    state.results();
  });
  const hint = "A context without a row takes the row of its longest end that has one";
  clear(
    state.places.controls,
    h("div", { class: "field" }, h("span", {}, "The numbers are"), kinds.element),
    h(
      "label",
      { class: "field", title: hint },
      backOff,
      "Back-off: a context without a row takes that of its longest end",
    ),
  );
}

/** The same model in the other numbers: the logs of probabilities are logits. Wrong rows stay as they are. */
function convert(state, kind) {
  const probabilities = kind === "probabilities";
  if (probabilities === state.probabilities) return;
  for (const row of state.rows) row.cells = converted(row.cells, state.probabilities);
  state.probabilities = probabilities;
  drawEditor(state);
  state.results();
  state.page.announce(`The numbers are ${kind} now.`);
}

function converted(cells, probabilities) {
  try {
    const logprobs = rowLogprobs(cells.map(numberOf), probabilities);
    return logprobs.map((x) => String(probabilities ? x : Math.exp(x)).replace("-Infinity", "−∞"));
  } catch (error) {
    if (error instanceof TableError) return cells;
    throw error;
  }
}

/** The number of a cell; NaN if it is none. */
function numberOf(cell) {
  return typed(cell).value ?? NaN;
}

function drawResults(state) {
  const { text, ranking } = state.places;
  try {
    const model = compile(modelOf(state));
    drawText(state, model);
    drawRanking(state, model);
  } catch (error) {
    if (!(error instanceof TableError)) throw error;
    clear(text, h("p", { class: "warning" }, `The table is not finished: ${error.message}`));
    clear(ranking);
  }
}

function modelOf({ tokens, rows, probabilities, backOff }) {
  const id = (token) => tokens.indexOf(token);
  const numbered = rows.map(({ context, cells }) => ({
    context: context.map(id),
    numbers: cells.map(numberOf),
  }));
  return { size: tokens.length, probabilities, backOff, rows: numbered };
}
