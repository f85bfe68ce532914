/** The text, each token shaded by its surprisal; the factor of a token beside it. */

import { factor, token } from "chainrule/data.js";
import { clear, h, roving } from "chainrule/dom.js";
import { probability } from "chainrule/numbers.js";
import { heard, isPseudo } from "chainrule/panels/contexts.js";
import { heading, panel, titleOf } from "chainrule/panels/parts.js";
import { details } from "chainrule/panels/text_details.js";
import { shownPieces } from "chainrule/panels/text_pieces.js";

const TITLE = "The text";
const SHORT = 400; // characters: the details of a short text are below it, where there is room
const MOST = 16; // bits of the darkest shade and the highest bar

/** The text panel. */
export function mount(element, page) {
  panel(element, page, TITLE, (reading, selected) => draw(element, page, reading, selected));
}

function draw(element, page, reading, selected) {
  const factorAt = new Map(reading.position.map((position, i) => [position, i]));
  const title = titleOf(element, TITLE);
  const tokens = drawTokens(page, reading, factorAt);
  const list = h(
    "div",
    {
      class: "running",
      role: "listbox",
      "aria-label": `${title}, token by token`,
      lang: "",
      translate: "no",
      dir: "auto",
    },
    tokens,
  );
  list.classList.toggle("ids", !reading.pieces);
  const beside = h("div", { class: "details" });
  clear(
    element,
    heading(element, TITLE, description(reading)),
    legend(),
    h("div", { class: isShort(list) ? "columns above" : "columns" }, h("div", { class: "place" }, list), beside),
  );
  const show = shower(element, page, reading, factorAt, beside);
  const choose = roving(list, tokens, reading.position[selected.value] ?? 0);
  listen(list, show, choose, (position) => factorAt.has(position) && selected.set(factorAt.get(position)));
  return (i) => mark(tokens, reading.position[i], choose, show);
}

function isShort(list) {
  return list.textContent.length <= SHORT;
}

function description(reading) {
  const score = isPseudo(reading) ? "Each token is predicted from all the others. " : "";
  return (
    `${score}The darker a token and the higher its bar, the more surprising it is: −log₂ Pr, in bits. ` +
    "Point at a token, or move by the arrow keys, to see its factor; a click or Enter selects it in all panels."
  );
}

function legend() {
  const items = [0, 4, 8, 12, 16].map((bits) =>
    h(
      "li",
      {},
      h("span", { class: "token", "aria-hidden": "true", style: { "--part": bits / MOST } }, "Ab"),
      ` ${bits}${bits === MOST ? " or more" : ""}`,
    ),
  );
  return h(
    "div",
    { class: "legend" },
    h("span", {}, "Surprisal in bits: "),
    h("ul", { "aria-label": "Legend: surprisal in bits" }, items),
  );
}

function drawTokens(page, reading, factorAt) {
  const shown = reading.pieces ? shownPieces(reading.pieces) : reading.sequence.map((id) => token(page, id));
  return reading.sequence.map((id, position) => {
    const i = factorAt.get(position);
    const text = shown[position];
    const attributes = i === undefined ? ofGiven(page, reading, position) : ofFactor(page, reading, i);
    const form = text === "" ? token(page, id) : /^\s*[\n\r]/.test(text) ? "↵" : null;
    return h(
      "span",
      {
        role: "option",
        "aria-selected": "false",
        "data-position": position,
        "data-form": form,
        ...attributes,
      },
      text,
    );
  });
}

function ofGiven(page, reading, position) {
  return {
    class: "token given",
    "aria-disabled": "true",
    "aria-label": `${heard(page, reading, position)}, given: no factor`,
  };
}

function ofFactor(page, reading, i) {
  const { position, surprisal, probability: value, rank } = factor(reading, i);
  return {
    class: Number.isFinite(surprisal) ? "token" : "token impossible",
    style: { "--part": Math.min(surprisal / MOST, 1).toFixed(3) },
    "aria-label": `${heard(page, reading, position)}, Pr ${probability(value)}${rank === null ? "" : `, rank ${rank}`}`,
  };
}

/** show(position): the details of a token, at most once a frame. */
function shower(element, page, reading, factorAt, beside) {
  let wanted = null;
  let shown = null;
  let waiting = false;
  const update = () => {
    waiting = false;
    if (wanted === shown || wanted === null) return;
    shown = wanted;
    clear(beside, details(element, page, reading, wanted, factorAt.get(wanted)));
  };
  return (position) => {
    wanted = position;
    if (!waiting) requestAnimationFrame(update);
    waiting = true;
  };
}

/** One listener for all tokens. Without a token under the pointer, the selected one is shown. */
function listen(list, show, choose, select) {
  const positionOf = (event) => {
    const span = event.target.closest?.("[data-position]");
    return span ? Number(span.dataset.position) : null;
  };
  const seen = (event) => positionOf(event) !== null && show(positionOf(event));
  list.addEventListener("pointerover", seen);
  list.addEventListener("focusin", seen);
  list.addEventListener("pointerleave", () =>
    show(Number(list.querySelector('[tabindex="0"]').dataset.position)),
  );
  list.addEventListener("click", (event) => {
    const position = positionOf(event);
    if (position === null) return;
    choose(position);
    select(position);
  });
  list.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    select(positionOf(event));
  });
}

function mark(tokens, position, choose, show) {
  tokens
    .find((span) => span.getAttribute("aria-selected") === "true")
    ?.setAttribute("aria-selected", "false");
  tokens[position].setAttribute("aria-selected", "true");
  choose(position);
  show(position);
}
