/** The page: every panel draws itself into its place. */

import { clear, field, h, select } from "chainrule/dom.js";
import { exercise } from "chainrule/exercise.js";
import { connect } from "chainrule/live.js";
import { NOTATIONS } from "chainrule/notation.js";
import * as comparison from "chainrule/panels/comparison.js";
import * as factor from "chainrule/panels/factor.js";
import * as grid from "chainrule/panels/grid.js";
import * as growing from "chainrule/panels/growing.js";
import * as product from "chainrule/panels/product.js";
import * as table from "chainrule/panels/table.js";
import * as text from "chainrule/panels/text.js";
import * as whatIf from "chainrule/panels/what_if.js";
import { store } from "chainrule/stores.js";

const PANELS = { text, grid, product, factor, "what-if": whatIf, growing, comparison, table, exercise: { mount: exercise } };
const THEMES = [
  ["auto", "as the system"],
  ["light", "light"],
  ["dark", "dark"],
];

/** Begin: called once, by the document, with the data of the page. */
export function start(data) {
  const page = {
    data,
    reading: (name) => data.readings[name] ?? null,
    notation: store(data.notation ?? "ours"),
    selected: store(0),
    changed: store(0),
    live: null,
    announce,
  };
  drawSettings(document.getElementById("settings"), page);
  page.live = connect(page, document.getElementById("live"));
  for (const element of document.querySelectorAll("[data-panel]")) {
    PANELS[element.dataset.panel].mount(element, page);
  }
  document.documentElement.dataset.ready = "";
}

/** Say something to those who hear the page. */
function announce(message) {
  const region = document.getElementById("announcer");
  clear(region);
  requestAnimationFrame(() => region.append(message));
}

function drawSettings(element, page) {
  const theme = (value) => {
    if (value === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = value;
  };
  element.append(
    field("Notation", select(NOTATIONS, page.notation.value, page.notation.set)),
    field("Colours", select(THEMES, "auto", theme)),
    h("p", { class: "note", id: "notation-note" }),
  );
  page.notation.subscribe((value) => {
    document.documentElement.dataset.notation = value; // formulas in the text of a lesson
    document.getElementById("notation-note").textContent =
      value === "course"
        ? "The course calls the start symbol x₀, with Pr(x₀) = 1; the first token is x₁."
        : "chainrule calls the start symbol s; the first token is x₀.";
  });
}
