/** The picture of a grid, in SVG. The filled cells of a row are one path, so that 1,000 rows are light. */

import { contextOf, hasStart, token } from "chainrule/data.js";
import { svg } from "chainrule/dom.js";
import { conditional, conditionalText, start, x } from "chainrule/notation.js";
import { contextText, heard } from "chainrule/panels/contexts.js";
import { spans } from "chainrule/panels/svg_formula.js";

const MOST_NAMED = 41; // columns that have room for their names
const TALL = 640; // pixels: a grid without names is not taller, unless its cells would be less than 2
const LEFT_TO_RIGHT = "\u200e"; // after a token of any script: its id is not drawn into it
const ANGLE = 60; // degrees of the heads of columns

/** Where things are: sizes in pixels, for a width. */
export function place(page, reading, width) {
  const first = hasStart(reading) ? 1 : 0;
  const columns = first + reading.sequence.length;
  const rows = reading.position.length;
  const named = columns <= MOST_NAMED;
  const narrow = width < 560;
  const labels = reading.position.map((_, i) =>
    named && !narrow ? conditionalText(page, reading, i) : "x_00",
  );
  const left = named ? Math.max(...labels.map((label) => label.length)) * 7.4 + 22 : 56;
  const over = named ? 48 : 0; // what the head of the last column needs on its right
  const room = (width - left - over) / columns;
  const cell = named
    ? clamp(Math.floor(room), 18, 28)
    : clamp(Math.floor(Math.min(room, TALL / rows)), 2, 16);
  const top = named ? 118 : 26;
  return {
    first,
    columns,
    rows,
    named,
    narrow,
    left,
    cell,
    top,
    width: left + columns * cell + over + 2,
    height: top + rows * cell + 4,
  };
}

/** {element, rows, mark(row)}: the rows are options of a list, of which one is selected. */
export function picture(page, reading, layout, name) {
  const rows = reading.position.map((_, row) => drawRow(page, reading, layout, row));
  const element = svg(
    "svg",
    {
      role: "listbox",
      "aria-label": name,
      width: layout.width,
      height: layout.height,
      viewBox: `0 0 ${layout.width} ${layout.height}`,
      class: layout.named ? "named" : "small",
    },
    layout.named ? heads(page, reading, layout) : ticks(page, reading, layout),
    rows,
    layout.named ? lines(layout) : null,
  );
  let chosen = null;
  const mark = (row) => {
    chosen?.setAttribute("aria-selected", "false");
    chosen = rows[row];
    chosen?.setAttribute("aria-selected", "true");
  };
  return { element, rows, mark };
}

function drawRow(page, reading, layout, row) {
  const { left, cell, top, columns } = layout;
  const y = top + row * cell;
  const position = reading.position[row];
  const column = position + layout.first;
  const inset = layout.named ? 1.5 : 0; // its outline is inside the lines of the grid
  return svg(
    "g",
    {
      role: "option",
      "aria-selected": "false",
      "aria-label": nameOf(page, reading, row),
      "data-row": row,
      tabindex: -1,
    },
    svg("rect", { class: "row", x: 1, y, width: left + columns * cell - 1, height: cell }),
    svg("path", { class: "context", d: pathOf(columnsOf(reading, layout, row), layout, y) }),
    svg("rect", {
      class: "own",
      x: left + column * cell + inset,
      y: y + inset,
      width: cell - 2 * inset,
      height: cell - 2 * inset,
    }),
    layout.named ? cross(left + column * cell, y, cell) : null,
    svg("path", { class: "pointer", d: `M3 ${y + cell / 2 - 5}l7 5l-7 5z` }),
    layout.named ? label(page, reading, layout, row, y) : null,
  );
}

/** "Pr(x_2 | s, e_0, e_1): is given s, It". */
function nameOf(page, reading, row) {
  const formula = spoken(conditional(page, reading, row));
  const given = contextText(page, reading, contextOf(reading, row), 12);
  return `${formula}: ${heard(page, reading, reading.position[row])}, given ${given}`;
}

/** A formula as text, in which an index is apart from its letter: x_2. */
function spoken(formula) {
  for (const mark of formula.querySelectorAll("sub")) mark.prepend("_");
  return formula.textContent;
}

/** The filled columns of a row, in order. */
function columnsOf(reading, layout, row) {
  const filled = contextOf(reading, row).map((position) => position + layout.first);
  if (layout.first) filled.push(0);
  return filled.sort((a, b) => a - b);
}

/** One rectangle for each run of adjacent columns. */
function pathOf(columns, { left, cell }, y) {
  const parts = [];
  for (let i = 0; i < columns.length;) {
    let end = i;
    while (columns[end + 1] === columns[end] + 1) end += 1;
    parts.push(`M${left + columns[i] * cell} ${y}h${(end - i + 1) * cell}v${cell}h${-(end - i + 1) * cell}z`);
    i = end + 1;
  }
  return parts.join("");
}

function cross(x0, y0, cell) {
  const [a, b] = [cell * 0.3, cell * 0.4];
  return svg("path", { class: "cross", d: `M${x0 + a} ${y0 + a}l${b} ${b}m0 ${-b}l${-b} ${b}` });
}

function label(page, reading, layout, row, y) {
  const formula = layout.narrow ? x(page, reading, reading.position[row]) : conditional(page, reading, row);
  return svg(
    "text",
    { class: "label", x: layout.left - 8, y: y + layout.cell / 2 + 4.5, "text-anchor": "end" },
    spans(formula),
  );
}

/** The heads of the columns: symbol, token and id. */
function heads(page, reading, layout) {
  const names = reading.sequence.map((id, position) =>
    head(layout, position + layout.first, x(page, reading, position), token(page, id), id),
  );
  const first = layout.first
    ? head(layout, 0, start(page, "x"), token(page, reading.start.t), reading.start.t)
    : null;
  return svg("g", { "aria-hidden": "true" }, first, names);
}

function head(layout, column, symbol, text, id) {
  const middle = layout.left + (column + 0.5) * layout.cell;
  const at = `translate(${middle - 1} ${layout.top - 24}) rotate(${-ANGLE})`;
  return [
    svg("text", { class: "symbol", x: middle, y: layout.top - 7, "text-anchor": "middle" }, spans(symbol)),
    svg(
      "text",
      { class: "token", transform: at },
      svg("title", {}, text),
      svg("tspan", {}, cut(text, 9), LEFT_TO_RIGHT),
      svg("tspan", { class: "id", dx: 5 }, String(id)),
    ),
  ];
}

/** The positions along the sides of a grid that is too large for names. */
function ticks(page, reading, layout) {
  const step = [10, 20, 50, 100, 200, 500].find((n) => n * layout.cell >= 44) ?? 1000;
  const above = range(reading.sequence.length, step).map((position) =>
    svg(
      "text",
      {
        x: layout.left + (position + layout.first + 0.5) * layout.cell,
        y: layout.top - 7,
        "text-anchor": "middle",
      },
      spans(x(page, reading, position)),
    ),
  );
  const aside = range(layout.rows, step).map((row) =>
    svg(
      "text",
      { x: layout.left - 8, y: layout.top + (row + 0.5) * layout.cell + 5, "text-anchor": "end" },
      spans(x(page, reading, reading.position[row])),
    ),
  );
  return svg("g", { "aria-hidden": "true", class: "ticks" }, above, aside);
}

function lines({ left, cell, top, columns, rows }) {
  const down = Array.from({ length: columns + 1 }, (_, i) => `M${left + i * cell} ${top}v${rows * cell}`);
  const across = Array.from({ length: rows + 1 }, (_, i) => `M${left} ${top + i * cell}h${columns * cell}`);
  return svg("path", { class: "lines", "aria-hidden": "true", d: [...down, ...across].join("") });
}

function cut(text, most) {
  const characters = Array.from(text);
  return characters.length > most ? `${characters.slice(0, most - 1).join("")}…` : text;
}

function range(end, step) {
  return Array.from({ length: Math.ceil(end / step) }, (_, i) => i * step);
}

function clamp(value, least, most) {
  return Math.min(Math.max(value, least), most);
}
