/** The exercises of a lesson, which check themselves. */

import { check, wrongPairs, wrongRows } from "chainrule/answers.js";
import { button, clear, field, h, scroller, select, uid } from "chainrule/dom.js";
import { heading } from "chainrule/panels/parts.js";

export { check };

const FORMS = { number, choice, arrange, cells, match };

/** Draw the exercise of a lesson into its place. data-exercise: its index. */
export function exercise(element, page) {
  const n = Number(element.dataset.exercise ?? 0);
  const given = page.data.lesson?.exercises?.[n];
  if (!given) {
    clear(
      element,
      heading(element, "Exercise", "This page has no such exercise. Exercises belong to the lessons."),
    );
    return;
  }
  const result = h("div", { class: "result", role: "status" });
  const form = FORMS[given.kind](given, page, `Exercise ${n + 1}`);
  const submit = (event) => {
    event.preventDefault();
    const answer = form.answer();
    const verdict = check(given, answer);
    show(result, verdict);
    form.mark?.(answer, verdict);
  };
  // a result is of one answer: it goes when the answer changes
  const changed = () => (clear(result), form.unmark?.());
  const [title] = heading(element, `Exercise ${n + 1}`, "");
  clear(
    element,
    title,
    h(
      "form",
      { onsubmit: submit, oninput: changed, onchange: changed, "data-kind": given.kind },
      form.element(h("span", { class: "question" }, given.question), changed),
      h(
        "div",
        { class: "no-print actions" },
        h("button", { type: "submit", class: "main" }, "Check"),
        hint(given),
      ),
    ),
    result,
  );
}

function show(result, { right, message }) {
  result.dataset.right = String(right);
  clear(
    result,
    h(
      "p",
      {},
      h("strong", {}, right ? "✓ Right. " : "✗ Not yet. "),
      message.replace(/^Not yet: (.)/, (_, c) => c.toUpperCase()),
    ),
  );
}

function hint({ hint: text }) {
  if (!text) return null;
  const place = h("p", { class: "hint", id: uid("hint"), hidden: true }, text);
  const toggle = button(
    "Hint",
    () => {
      place.hidden = !place.hidden;
      toggle.setAttribute("aria-expanded", String(!place.hidden));
    },
    { "aria-expanded": "false", "aria-controls": place.id },
  );
  return [toggle, place];
}

// Each form has element(question, changed) and answer(); mark(answer) and unmark() if it shows what is wrong

function number({ unit }) {
  const input = h("input", {
    type: "text",
    inputmode: "text",
    autocomplete: "off",
    size: 14,
    id: uid("answer"),
  });
  const element = (question) => {
    question.id = uid("question");
    input.setAttribute("aria-describedby", question.id);
    return [question, field(unit ? `Your answer, in ${unit}` : "Your answer", input)];
  };
  return { element, answer: () => input.value };
}

function choice({ choices }) {
  const name = uid("choice");
  const inputs = choices.map((_, i) => h("input", { type: "radio", name, value: String(i) }));
  const labels = choices.map((text, i) => h("label", {}, inputs[i], h("span", {}, text)));
  const index = () => inputs.findIndex((input) => input.checked);
  return { element: (question) => group(question, labels), answer: () => (index() < 0 ? null : index()) };
}

function group(question, ...children) {
  return h("fieldset", {}, h("legend", {}, question), children);
}

function arrange({ items, shuffled }, page) {
  const list = h("ol", { class: "items" });
  const places = new Map();
  const order = () => [...list.children].map((item) => places.get(item));
  let changed = () => {};
  const move = (item, by) => {
    const siblings = [...list.children];
    const to = siblings.indexOf(item) + by;
    if (to < 0 || to >= siblings.length) return;
    const focused = document.activeElement;
    if (by < 0) list.insertBefore(item, siblings[to]);
    else list.insertBefore(item, siblings[to].nextSibling);
    focused?.focus(); // an element that is moved loses the focus
    changed();
    page.announce(`${items[places.get(item)]}: place ${to + 1} of ${items.length}`);
  };
  shuffled.forEach((i) => {
    const item = arrangeItem(items[i], move, list);
    places.set(item, i);
    list.append(item);
  });
  const element = (question, act) => {
    changed = act;
    return group(question, list);
  };
  return { element, answer: order };
}

function arrangeItem(text, move, list) {
  const up = button("↑", () => move(item, -1), { "aria-label": `Up: ${text}` });
  const down = button("↓", () => move(item, 1), { "aria-label": `Down: ${text}` });
  const item = h(
    "li",
    { draggable: "true" },
    h("span", { class: "no-print" }, up, " ", down),
    h("span", { class: "item" }, text),
  );
  item.addEventListener("keydown", (event) => {
    const by = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    if (!by) return;
    event.preventDefault();
    move(item, by);
  });
  item.addEventListener("dragstart", () => item.classList.add("dragged"));
  item.addEventListener("dragend", () => item.classList.remove("dragged"));
  item.addEventListener("dragover", (event) => {
    const dragged = list.querySelector(".dragged");
    if (!dragged || dragged === item) return;
    event.preventDefault();
    const all = [...list.children];
    move(dragged, all.indexOf(item) - all.indexOf(dragged));
  });
  return item;
}

function cells({ tokens, order, known }, page, title) {
  const rows = order.map((position, n) => cellRow(tokens, position, n));
  const answer = () =>
    rows.map(({ toggles }) =>
      toggles.flatMap((b, p) => (b.getAttribute("aria-pressed") === "true" ? [p] : [])),
    );
  const columns = tokens.map((token) => h("th", { scope: "col" }, token));
  const table = h(
    "table",
    { class: "grid" },
    h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Row predicts"), columns, h("td"))),
    h(
      "tbody",
      {},
      rows.map(({ row }) => row),
    ),
  );
  const grid = rows.map(({ toggles }) => toggles);
  table.addEventListener("keydown", (event) => walk(event, grid));
  grid.flat().forEach((b, k) => (b.tabIndex = k ? -1 : 0));
  const mark = (given) => {
    const wrong = wrongRows({ known }, given);
    rows.forEach(({ verdict }, n) => (verdict.textContent = wrong.includes(n) ? "✗ wrong" : "✓ right"));
  };
  const unmark = () => rows.forEach(({ verdict }) => (verdict.textContent = ""));
  const element = (question, changed) => {
    grid.flat().forEach((b) => b.addEventListener("click", changed));
    return [question, scroller(`${title}: the cells`, table)];
  };
  return { element, answer, mark, unmark };
}

function cellRow(tokens, target, n) {
  const toggles = tokens.map((token, p) => {
    const name = `Row ${n + 1}, which predicts ${tokens[target]}: ${token} is known`;
    const toggle = button(
      p === target ? "?" : "",
      () => {
        toggle.setAttribute("aria-pressed", String(toggle.getAttribute("aria-pressed") !== "true"));
      },
      { "aria-pressed": "false", "aria-label": name, class: p === target ? "target" : null },
    );
    return toggle;
  });
  const verdict = h("td", { class: "verdict" });
  const label = h("th", { scope: "row" }, `${n + 1}. ${tokens[target]}`);
  return {
    toggles,
    verdict,
    row: h(
      "tr",
      {},
      label,
      toggles.map((b) => h("td", {}, b)),
      verdict,
    ),
  };
}

/** The arrow keys move in the grid. */
function walk(event, grid) {
  const row = grid.findIndex((toggles) => toggles.includes(event.target));
  const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
  if (row < 0 || !step) return;
  event.preventDefault();
  const next = grid[row + step[0]]?.[grid[row].indexOf(event.target) + step[1]];
  if (!next) return;
  event.target.tabIndex = -1;
  next.tabIndex = 0;
  next.focus();
}

function match({ left, right, answer: wanted }) {
  const options = [["", "choose …"], ...right.map((text, k) => [String(k), text])];
  const selects = left.map(() => select(options, "", () => {}));
  const marks = left.map(() => h("span", { class: "verdict" }));
  const rows = left.map((text, k) => h("li", {}, field(text, selects[k]), marks[k]));
  const answer = () => selects.map((each) => (each.value === "" ? null : Number(each.value)));
  const mark = (given) => {
    const wrong = wrongPairs({ right, answer: wanted }, given);
    marks.forEach((place, k) => (place.textContent = wrong.includes(k) ? "✗" : "✓"));
  };
  const unmark = () => marks.forEach((place) => (place.textContent = ""));
  return { element: (question) => group(question, h("ul", { class: "pairs" }, rows)), answer, mark, unmark };
}
