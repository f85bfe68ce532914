/** What several panels show: a heading, a reason for being empty, a bar to both sides of 0. */

import { button, h, svg } from "chainrule/dom.js";
import { signed } from "chainrule/numbers.js";

/** The heading of a panel, and one sentence on it. */
export function head(element, title, description) {
  const level = element.dataset.level === "3" ? "h3" : "h2";
  return [h(level, {}, element.dataset.title ?? title), h("p", { class: "note" }, description)];
}

/** A heading below that of the panel. */
export function subhead(element, text) {
  return h(element.dataset.level === "3" ? "h4" : "h3", {}, text);
}

/** Why a section is not there, and how to get it. */
export function absent(page, name, otherwise) {
  return h("p", { class: "absent" }, page.data.missing?.[name] ?? otherwise);
}

/** Draw now, and again when one of the stores changes. */
export function drawn(stores, draw) {
  let begun = false;
  stores.forEach((each) => each.subscribe(() => begun && draw()));
  begun = true;
  draw();
}

/** What a person types to ask a server, with a button; errors are shown as text. `act` may be slow. */
export function asking(label, act, ...fields) {
  const message = h("p", { class: "note", role: "status" });
  const go = h("button", { type: "submit" }, label);
  const submit = async (event) => {
    event.preventDefault();
    go.disabled = true;
    message.textContent = "The model computes …";
    try {
      message.textContent = (await act()) ?? "";
    } catch (error) {
      message.textContent = error.message;
    }
    go.disabled = false;
    go.focus();
  };
  return h("form", { class: "asking no-print", onsubmit: submit, novalidate: true }, fields, go, message);
}

/** A bar from the middle to the left (below 0) or to the right; `most` is the value of a full bar. */
export function diverging(value, most) {
  const part = most > 0 ? Math.min(Math.abs(value) / most, 1) : 0;
  const width = Number.isNaN(value) ? 0 : 50 * part;
  return svg(
    "svg",
    { class: "diverging", viewBox: "0 0 100 10", preserveAspectRatio: "none", "aria-hidden": "true" },
    svg("rect", {
      class: value < 0 ? "less" : "more",
      x: value < 0 ? 50 - width : 50,
      y: 1.5,
      width,
      height: 7,
    }),
    svg("line", { class: "zero", x1: 50, y1: 0, x2: 50, y2: 10 }),
  );
}

/** A bar from the left; a share of 1 is a full bar. */
export function bar(share, attributes = {}) {
  return svg(
    "svg",
    {
      class: "share",
      viewBox: "0 0 100 10",
      preserveAspectRatio: "none",
      "aria-hidden": "true",
      ...attributes,
    },
    svg("rect", { class: "all", x: 0, y: 1.5, width: 100, height: 7 }),
    svg("rect", { class: "part", x: 0, y: 1.5, width: 100 * Math.min(Math.max(share, 0), 1), height: 7 }),
  );
}

/** A difference with its sign, an arrow and a colour. */
export function change(value, n = 3) {
  const kind = value > 0 ? "more" : value < 0 ? "less" : "same";
  const arrow = { more: "▲ ", less: "▼ ", same: "" }[kind];
  return h(
    "span",
    { class: `change ${kind}` },
    h("span", { "aria-hidden": "true" }, arrow),
    signed(value, n),
  );
}

/** a − b in nats; 0 for two that are equal, also if both are −∞. */
export function difference(a, b) {
  return a === b ? 0 : a - b;
}

/** The largest finite size of numbers: the scale of their bars. */
export function scaleOf(numbers) {
  return numbers.reduce((most, x) => (Number.isFinite(x) ? Math.max(most, Math.abs(x)) : most), 0);
}

/** x₁₂ as text, where an element cannot be (in <option>). */
export function subscript(letter, n) {
  return letter + [...String(n)].map((c) => "₀₁₂₃₄₅₆₇₈₉"[c] ?? c).join("");
}

/** A group of buttons of which one is pressed: [value, label] pairs. Returns {element, set}. */
export function choice(label, options, value, act) {
  const buttons = options.map(([key, text]) =>
    button(text, () => (set(key), act(key)), { "data-value": key }),
  );
  const set = (key) =>
    buttons.forEach((b) => b.setAttribute("aria-pressed", String(b.dataset.value === key)));
  set(value);
  return { element: h("div", { class: "choice", role: "group", "aria-label": label }, buttons), set };
}

/** Row numbers 0 … count − 1, with runs of more than `most` dull ones in one item: numbers and {from, to}. */
export function folded(count, dull, most = 8) {
  const items = [];
  for (let n = 0; n < count;) {
    let to = n;
    while (to < count && dull(to)) to += 1;
    if (to - n > most) items.push({ from: n, to: to - 1 });
    else for (let k = n; k <= Math.min(to, count - 1); k += 1) items.push(k);
    n = to - n > most ? to : to + 1;
  }
  return items;
}

/** A row in place of several, with a button that shows them. columns: of the table. */
export function foldRow(name, words, columns, rows) {
  const line = h("tr", { class: "fold" });
  const show = () => {
    const region = line.closest(".scroll");
    line.replaceWith(...rows());
    region.focus({ preventScroll: true });
  };
  const cell = h("td", { colspan: columns - 1 }, words, " ", button("Show them", show));
  line.append(h("th", { scope: "row" }, name), cell);
  return line;
}

const FIRST = 60; // rows of a long table that are there at once
const MORE = 200;
const unfinished = new Set(); // tables with rows to come

/** Rows of a long table: the others come when the end of those shown is near, or for a printer. */
export function lazyRows(body, scroll, count, row) {
  let made = 0;
  const make = (n) => {
    const rows = [];
    for (; made < Math.min(n, count); made += 1) rows.push(row(made));
    body.append(...rows.flat());
    observer.disconnect();
    if (made < count) observer.observe(body.lastElementChild);
    else unfinished.delete(table);
  };
  const near = (entries) => entries.at(-1).isIntersecting && body.isConnected && make(made + MORE);
  const observer = new IntersectionObserver(near, { root: scroll, rootMargin: "400px" });
  const table = { body, finish: () => make(count) };
  unfinished.forEach((each) => !each.body.isConnected && unfinished.delete(each));
  if (count > FIRST) setTimeout(() => unfinished.add(table)); // when it is in the document
  make(FIRST);
}

addEventListener("beforeprint", () => unfinished.forEach((table) => table.finish()));
