/** The factors before and after a change: a summary, a picture of all, and a row for each. */

import { h, scroller, svg } from "chainrule/dom.js";
import { tokenElement, x } from "chainrule/notation.js";
import { count, decimals } from "chainrule/numbers.js";
import { change, difference, diverging, foldRow, folded, scaleOf } from "chainrule/panels/figures.js";
import { lazyRows } from "chainrule/panels/lazy_rows.js";
import { changedFactor, largestOf, rowsOf, sumsOf, tokensOf } from "chainrule/panels/what_if_rows.js";

const PICTURE = 30; // rows from which on a picture shows all of them

/** Draw a what-if. */
export function drawVariant(state) {
  const { reading, variant } = state;
  const rows = rowsOf(reading, variant);
  const most = scaleOf(rows.map(({ by }) => by ?? 0));
  return [summary(state, rows), rows.length > PICTURE ? picture(rows, most) : null, table(state, rows, most)];
}

/** What changed, what did not move, and what moved most. */
function summary({ page, reading, variant }, rows) {
  const name = (i) => x(page, reading, reading.position[i]);
  const named = ({ i }) => [name(i), " ", tokenElement(page, idOf(reading, i))];
  const largest = largestOf(rows);
  const same = rows.filter(({ kind }) => kind === "same");
  const gone = rows.filter(({ kind }) => kind === "gone").length;
  return h(
    "p",
    { class: "summary" },
    h("strong", {}, changeOf(page, reading, variant)),
    gone ? [` ${capital(count(gone, "factor"))} ${gone === 1 ? "is" : "are"} gone.`] : null,
    same.length
      ? [" The factors of ", range(same.map(({ i }) => name(i))), " did not move, bit for bit."]
      : " No factor comes before the change.",
    largest
      ? [" The largest change is that of ", ...named(largest), ": ", change(largest.by), " nats."]
      : " No later factor moved.",
  );
}

function changeOf(page, reading, variant) {
  if (variant.kind === "cut") return `The text begins ${count(variant.position, "token")} later.`;
  const after = tokensOf(variant).map((t) => [tokenElement(page, t), " "]);
  if (variant.kind === "start") {
    return variant.t === null
      ? "No start symbol: the first token is given."
      : ["The start symbol is ", ...after.flat().slice(0, -1), "."];
  }
  const position = variant.position;
  const given = changedFactor(reading, variant) === null ? ", which is given" : "";
  return [
    x(page, reading, position),
    " ",
    tokenElement(page, reading.sequence[position]),
    given,
    " becomes ",
    ...after.flat().slice(0, -1),
    ".",
  ];
}

function range(names) {
  return names.length === 1 ? names[0] : [names[0], names.length > 2 ? " … " : ", ", names.at(-1)];
}

function capital(words) {
  return words.charAt(0).toUpperCase() + words.slice(1);
}

function idOf(reading, i) {
  return reading.sequence[reading.position[i]];
}

/** All differences as bars, in the order of prediction. The table has their numbers. */
function picture(rows, most) {
  const path = (keep) =>
    rows.flatMap(({ by }, n) =>
      by !== null && keep(by)
        ? [`M${n + 0.1} 30h.8V${30 - 28 * Math.max(-1, Math.min(1, by / (most || 1)))}h-.8Z`]
        : [],
    );
  const at = rows.findIndex(({ kind }) => kind === "new" || kind === "moved");
  const label = "The difference of each factor, from the first to the last; the line marks the change.";
  return h(
    "figure",
    {},
    svg(
      "svg",
      {
        class: "profile",
        viewBox: `0 0 ${rows.length} 60`,
        preserveAspectRatio: "none",
        role: "img",
        "aria-label": label,
      },
      svg("line", { class: "zero", x1: 0, x2: rows.length, y1: 30, y2: 30 }),
      at >= 0 ? svg("line", { class: "at", x1: at, x2: at, y1: 0, y2: 60 }) : null,
      svg("path", { class: "more", d: path((by) => by > 0).join("") || null }),
      svg("path", { class: "less", d: path((by) => by < 0).join("") || null }),
    ),
    h("figcaption", { class: "note" }, `${label} Up: more probable.`),
  );
}

function table(state, rows, most) {
  const body = h("tbody");
  const heads = ["Factor of", "Before", "After", "Difference", "Bar", "What happened"];
  const cells = heads.map((text, k) =>
    h(
      "th",
      { scope: "col", class: k > 0 && k < 4 ? "number" : null },
      h("span", { class: text === "Bar" ? "hidden" : null }, text),
    ),
  );
  const caption = h("caption", {}, "log Pr of each factor before and after, and after − before, in nats");
  const region = scroller(
    "The factors before and after",
    h("table", {}, caption, h("thead", {}, h("tr", {}, cells)), body, sums(state)),
  );
  region.classList.add("tall");
  const items = folded(rows.length, (n) => rows[n].kind === "same" || rows[n].kind === "gone");
  const make = (n) => drawRow(state, rows[n], most);
  const item = (k) => (typeof items[k] === "number" ? make(items[k]) : fold(state, rows, items[k], make));
  lazyRows(body, items.length, item, { region });
  return region;
}

/** Many factors that did not move, or are gone. */
function fold({ page, reading }, rows, { from, to }, make) {
  const name = ({ i }) => x(page, reading, reading.position[i]);
  const some = rows.slice(from, to + 1);
  const gone = some.filter(({ kind }) => kind === "gone").length;
  const same = some.length - gone;
  const parts = [
    gone ? `${count(gone, "factor")}: no factor any more. ` : "",
    same ? `${count(same, "factor")}: unchanged, bit for bit.` : "",
  ];
  const names = [name(some[0]), " … ", name(some.at(-1))];
  return foldRow(names, parts.join(""), 6, () => some.map((_, k) => make(from + k)));
}

function drawRow(state, row, most) {
  const { kind, before, after, by } = row;
  const number = (value) => h("td", { class: "number" }, value === null ? "–" : decimals(value));
  const words = {
    gone: "no factor any more",
    same: "unchanged, bit for bit",
    new: "◆ of the new token",
    moved: by === 0 ? "did not move" : "",
  };
  const shown = by === null ? "–" : kind === "same" ? "0" : change(by, 6);
  return h(
    "tr",
    { class: kind },
    h("th", { scope: "row" }, tokenCell(state, row)),
    number(before),
    number(after),
    h("td", { class: "number" }, shown),
    h("td", {}, diverging(by ?? NaN, most)),
    h("td", { class: "word" }, row.i === null && !row.token ? "only now" : words[kind]),
  );
}

function tokenCell({ page, reading, variant }, { kind, i, token }) {
  if (i === null)
    return token === null ? tokenElement(page, reading.sequence[0]) : ["+ ", tokenElement(page, token)];
  const name = [
    h("span", { class: "position" }, x(page, reading, reading.position[i])),
    " ",
    tokenElement(page, idOf(reading, i)),
  ];
  return kind === "new" && variant.kind === "replace" ? [...name, " → ", tokenElement(page, token)] : name;
}

function sums({ reading, variant }) {
  const { before, after, remain } = sumsOf(reading, variant);
  const number = (value) => h("td", { class: "number" }, value === null ? "undefined" : decimals(value));
  const by = before === null ? null : difference(after, before);
  return h(
    "tfoot",
    {},
    h(
      "tr",
      {},
      h("th", { scope: "row" }, remain ? "Sum of those that remain" : "Sum"),
      number(before),
      number(after),
      h("td", { class: "number" }, by === null ? "undefined" : change(by, 6)),
      h("td", { colspan: 2 }),
    ),
  );
}
