/** One factor, opened: from tokens to embeddings, hidden state, logits, softmax, probability and product. */

import { factor, hasStart, length } from "chainrule/data.js";
import { button, clear, h } from "chainrule/dom.js";
import { conditional, tokenElement } from "chainrule/notation.js";
import { diagram } from "chainrule/panels/factor_diagram.js";
import { steps } from "chainrule/panels/factor_steps.js";
import { wrongWay } from "chainrule/panels/factor_wrong.js";
import { absent, heading, panel, watchWidth } from "chainrule/panels/parts.js";

const TITLE = "One factor, opened";
const DESCRIPTION =
  "How the network computes the factor of the selected token, step by step, with the shape of what each makes.";

const ABSENT = "This page was made without the hidden states and logits of the model.";

/** The panel of one factor. It shows reading "text", the only one that is opened. */
export function mount(element, page) {
  let mark = null;
  const watched = watchWidth(element, () => mark?.(null));
  panel(element, page, TITLE, (reading, selected) => {
    const { openings } = page.data;
    if (!openings) {
      clear(element, heading(element, TITLE, DESCRIPTION), absent(page, "openings", ABSENT));
      mark = null;
      return mark;
    }
    mark = draw(element, page, reading, selected, openings, watched);
    return mark;
  });
}

function draw(element, page, reading, selected, openings, watched) {
  const n = length(reading);
  const go = (by) => selected.set(Math.min(Math.max(selected.value + by, 0), n - 1));
  const back = button("Back", () => go(-1));
  const next = button("Next", () => go(1));
  const which = h("p", { class: "which", role: "status" });
  const figure = h("div", { class: "figure" });
  const list = h("ol", { class: "list" });
  clear(
    element,
    heading(element, TITLE, DESCRIPTION),
    h("div", { class: "buttons no-print", role: "group", "aria-label": "Which factor" }, back, next),
    which,
    figure,
    list,
    wrongWay(element, page, reading, openings),
  );
  let current = 0;
  return (i) => {
    current = i ?? current;
    const view = viewOf(page, reading, openings, current);
    clear(
      which,
      conditional(page, reading, current),
      ": ",
      tokenElement(page, view.factor.id),
      ` (factor ${current + 1} of ${n})`,
    );
    back.setAttribute("aria-disabled", String(current === 0));
    next.setAttribute("aria-disabled", String(current === n - 1));
    clear(figure, diagram(view, watched.width));
    clear(list, steps(view));
  };
}

/** What the steps of factor i need. */
function viewOf(page, reading, openings, i) {
  const { shapes } = openings;
  return {
    page,
    reading,
    openings,
    i,
    factor: factor(reading, i),
    embeddings: reading.contexts[i],
    sizes: { e: shapes.e[0], h: shapes.h[0], z: shapes.z[0] },
    first: hasStart(reading) ? 1 : 0,
  };
}
