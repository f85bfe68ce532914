/** Panel g: two texts, aligned, with the difference of each factor, and where it was decided. */

import { num, token } from "chainrule/data.js";
import { clear, field, h, scroller } from "chainrule/dom.js";
import { x, tokenElement } from "chainrule/notation.js";
import { count, decimals, digits, typeset } from "chainrule/numbers.js";
import { chart } from "chainrule/panels/comparison_chart.js";
import { change, diverging, foldRow, folded, scaleOf } from "chainrule/panels/figures.js";
import { lazyRows } from "chainrule/panels/lazy_rows.js";
import { absent, asking, drawn, heading } from "chainrule/panels/parts.js";

/** Draw the panel. */
export function mount(element, page) {
  const body = h("div");
  const about =
    "Two texts, aligned by their tokens: which factors differ, by how much, and where it was decided.";
  clear(element, heading(element, "Two texts compared", about), page.live ? liveForm(page) : null, body);
  drawn([page.changed, page.notation], () => draw(body, page));
}

function draw(body, page) {
  const given = page.data.comparison;
  const readings = given?.readings.map((name) => page.reading(name));
  if (!given || readings.includes(null)) {
    const otherwise = "This page has no second text: make it with compare, or open it from chainrule serve.";
    clear(body, absent(page, "comparison", otherwise));
    return;
  }
  const found = {
    readings,
    rows: given.rows,
    differences: given.difference.map(maybe),
    running: given.running_difference.map(maybe),
    total: maybe(given.difference_total),
    decided: given.decided,
    largest: given.largest,
  };
  clear(body, texts(page, found), verdict(page, found), chart(page, found), table(page, found));
}

/** A number that may be undefined, as ∞ − ∞ is. */
function maybe(x) {
  return x === null || x === undefined ? null : num(x);
}

/** Both texts with their totals. */
function texts(page, found) {
  const { readings, total } = found;
  const row = (name, side, wins) => {
    const reading = readings[side];
    return h(
      "tr",
      { class: wins ? "wins" : null },
      h("th", { scope: "row" }, name, wins ? h("span", { class: "mark" }, " ✓ more probable") : null),
      h("td", {}, h("bdi", { lang: "", translate: "no" }, textOf(page, reading, positionOf(found, side)))),
      h("td", { class: "number" }, decimals(num(reading.total.logprob))),
      h("td", { class: "number" }, typeset(reading.total.probability ?? "–")),
    );
  };
  const heads = ["", "Text", "log Pr, nats", "Pr"];
  const cell = (text, k) =>
    text ? h("th", { scope: "col", class: k > 1 ? "number" : null }, text) : h("td", {});
  const body = h("tbody", {}, row("First", 0, total > 0), row("Second", 1, total < 0));
  return scroller(
    "The two texts",
    h("table", { class: "texts" }, h("thead", {}, h("tr", {}, heads.map(cell))), body),
  );
}

/** The text of a reading; of a long one, the part around a position. */
function textOf(page, reading, position) {
  const text = reading.text ?? "given as token ids";
  if (!text.trim()) return reading.sequence.map((id) => token(page, id)).join(""); // nothing to see otherwise
  if (text.length <= 300) return text;
  if (!reading.pieces || position === null) return `${text.slice(0, 200)} … ${text.slice(-80)}`;
  const from = Math.max(0, position - 25);
  const to = position + 15;
  const part = reading.pieces.slice(from, to).join("").trim();
  return `${from ? "… " : ""}${part}${to < reading.pieces.length ? " …" : ""}`;
}

/** The position of a text where the largest difference is. */
function positionOf({ readings, rows, largest }, side) {
  const i = largest === null ? null : rows[largest][side];
  return i === null ? null : readings[side].position[i];
}

/** Which text is more probable, by how much, and where that was decided. */
function verdict(page, { readings, rows, total, decided, largest, differences }) {
  if (total === null)
    return h("p", { class: "verdict" }, "Both texts are impossible: their difference is not defined.");
  if (total === 0) return h("p", { class: "verdict" }, "Both texts are equally probable.");
  const which = total > 0 ? "The first" : "The second";
  const size = Math.abs(total);
  const factor = Number.isFinite(size) ? `, a factor of ${times(size)}` : ": the other is impossible";
  const name = (row) => nameOf(page, readings, rows[row]);
  return [
    h(
      "p",
      { class: "verdict" },
      h("strong", {}, `${which} text is more probable, by ${decimals(size)} nats`),
      `${factor}.`,
    ),
    h(
      "p",
      { class: "where" },
      decided === null
        ? null
        : [
            `Decided at row ${decided}, `,
            name(decided),
            ": from there on the sum of the differences keeps its sign. ",
          ],
      largest === null
        ? null
        : [
            "The largest single difference is at row ",
            String(largest),
            ", ",
            name(largest),
            `: ${decimals(differences[largest])} nats.`,
          ],
    ),
  ];
}

/** exp(x) in digits, also where a computer cannot hold it. */
function times(x) {
  return x < 700
    ? digits(Math.exp(x), 4)
    : typeset(`1e+${Math.floor(x / Math.LN10)}`).replace("1 × ", "about ");
}

/** The tokens of a row: one if both texts have it. */
function nameOf(page, readings, row) {
  const ids = row.map((i, side) => (i === null ? null : idOf(readings[side], i)));
  const shown = ids.map((id) => (id === null ? "nothing" : tokenElement(page, id)));
  return ids[0] === ids[1] ? shown[0] : [shown[0], " beside ", shown[1]];
}

function idOf(reading, i) {
  return reading.sequence[reading.position[i]];
}

function table(page, found) {
  const { rows, differences } = found;
  const most = scaleOf(differences.filter((d) => d !== null));
  const heads = ["Row", "First", "log Pr", "Second", "log Pr", "Difference", "Bar", "Running difference"];
  const numbers = [true, false, true, false, true, true, false, true];
  const cells = heads.map((text, k) =>
    h(
      "th",
      { scope: "col", class: numbers[k] ? "number" : null },
      h("span", { class: text === "Bar" ? "hidden" : null }, text),
    ),
  );
  const body = h("tbody");
  const caption = h(
    "caption",
    {},
    "log Pr of each factor, and first − second, in nats. ▲: the first is more probable.",
  );
  const region = scroller(
    "The factors of both texts",
    h("table", { class: "rows" }, caption, h("thead", {}, h("tr", {}, cells)), body),
  );
  region.classList.add("tall");
  const items = folded(rows.length, (n) => rows[n].every((i) => i !== null) && differences[n] === 0);
  const make = (n) => row(page, found, n, most);
  const item = (k) => (typeof items[k] === "number" ? make(items[k]) : fold(items[k], make));
  lazyRows(body, items.length, item, { region });
  return region;
}

/** Many rows without a difference. */
function fold({ from, to }, make) {
  const n = to - from + 1;
  const rows = () => Array.from({ length: n }, (_, k) => make(from + k));
  return foldRow(`${from} … ${to}`, `${count(n, "row")} without a difference.`, 8, rows);
}

function row(page, { readings, rows, differences, running, decided, largest }, n, most) {
  const marks = [n === decided ? "◆ decided here" : null, n === largest ? "● largest" : null].filter(Boolean);
  const difference = differences[n];
  const same = difference === 0;
  return h(
    "tr",
    { class: [n === decided ? "decided" : "", same ? "same" : ""].join(" ").trim() || null },
    h("td", { class: "number" }, String(n)),
    rows[n].map((i, side) => factorCells(page, readings[side], i)),
    h("td", { class: "number" }, difference === null ? "undefined" : change(difference, 6)),
    h(
      "td",
      {},
      diverging(difference ?? NaN, most),
      marks.map((mark) => h("span", { class: "mark" }, mark)),
    ),
    h("td", { class: "number" }, sum(running[n])),
  );
}

function sum(x) {
  if (x === null) return "undefined";
  return x === 0 ? "0" : decimals(x);
}

/** Token and log Pr of one text. */
function factorCells(page, reading, i) {
  if (i === null) return [h("td", { class: "note" }, "nothing"), h("td", {})];
  const position = reading.position[i];
  const name = [
    h("span", { class: "position" }, x(page, reading, position)),
    " ",
    tokenElement(page, idOf(reading, i)),
  ];
  return [h("td", {}, name), h("td", { class: "number" }, decimals(num(reading.logprob[i])))];
}

function liveForm(page) {
  const other = h("input", { type: "text", spellcheck: "false", autocomplete: "off", size: 40 });
  const ask = async () => {
    if (!other.value) return "Type another text.";
    await page.live.ask("comparison", { compare: other.value });
    return "";
  };
  return asking("Compare", ask, field("Another text", other));
}
