/** The picture of panel g: the difference of each row as a bar, their running sum as a line. */

import { token } from "chainrule/data.js";
import { h, scroller, svg } from "chainrule/dom.js";
import { decimals, signed } from "chainrule/numbers.js";
import { scaleOf } from "chainrule/panels/figures.js";

const HEIGHT = 200;
const TOP = 24;
const BOTTOM = 34; // for the tokens below
const LEFT = 64; // for the numbers of the axis
const NAMED = 40; // rows that have room for their tokens

/** Draw it. The table below has the same numbers, so that the picture needs only a name. */
export function chart(page, found) {
  const { rows, differences, running, decided } = found;
  const named = rows.length <= NAMED;
  const step = named ? 62 : Math.max(900 / rows.length, 0.5);
  const width = LEFT + step * rows.length + 12;
  const scale = scaleOf([...differences, ...running].filter((d) => d !== null)) || 1;
  const plot = { left: LEFT, step, width, zero: (HEIGHT - BOTTOM + TOP) / 2 };
  plot.y = (value) => plot.zero - ((HEIGHT - BOTTOM - TOP) / 2) * Math.min(Math.max(value / scale, -1), 1);
  plot.x = (n) => LEFT + step * (n + 0.5);
  const words = `Bars: the difference of each row. Line: their running sum, from 0 to ${total(found)} nats.`;
  const picture = svg(
    "svg",
    {
      class: "chart",
      viewBox: `0 0 ${width} ${HEIGHT}`,
      width: named ? width : null,
      role: "img",
      "aria-label": words,
    },
    axis(plot, scale),
    decided === null ? null : decidedAt(plot, decided),
    bars(plot, differences),
    line(plot, running, named),
    named ? names(page, plot, found) : null,
  );
  const caption = h(
    "figcaption",
    { class: "note" },
    words,
    " Above 0 the first text is ahead, below 0 the second.",
  );
  return h("figure", { class: "figure" }, named ? scroller("The picture", picture) : picture, caption);
}

function total({ total }) {
  return total === null ? "undefined" : decimals(total, 3);
}

function axis({ left, width, y }, scale) {
  const tick = (value) => [
    svg("line", { class: value ? "grid" : "zero", x1: left - 4, x2: width, y1: y(value), y2: y(value) }),
    svg("text", { x: left - 8, y: y(value) + 4, "text-anchor": "end" }, signed(value, scale < 0.1 ? 4 : 2)),
  ];
  return [scale, 0, -scale].map(tick);
}

function bars({ x, y, zero, step }, differences) {
  const half = Math.max(Math.min(step * 0.3, 12), 0.25);
  const path = (keep) =>
    differences.flatMap((d, n) =>
      d !== null && keep(d) ? [`M${x(n) - half} ${zero}H${x(n) + half}V${y(d)}H${x(n) - half}Z`] : [],
    );
  return [
    svg("path", { class: "more", d: path((d) => d > 0).join("") || null }),
    svg("path", { class: "less", d: path((d) => d < 0).join("") || null }),
  ];
}

function line({ x, y, left, zero }, running, dots) {
  const known = running.flatMap((sum, n) => (sum === null ? [] : [[x(n), y(sum)]]));
  const points = [[left, zero], ...known].map((point) => point.join(","));
  const marks = dots ? known.map(([cx, cy]) => svg("circle", { class: "dot", cx, cy, r: 3 })) : [];
  return [svg("polyline", { class: "line", points: points.join(" ") }), marks];
}

function decidedAt({ x, step }, n) {
  const at = x(n) - step / 2;
  return [
    svg("line", { class: "decided", x1: at, x2: at, y1: TOP - 14, y2: HEIGHT - BOTTOM + 6 }),
    svg("text", { x: at + 4, y: TOP - 8, class: "label" }, "decided"),
  ];
}

/** The tokens of both texts below their row; one if both have the same. */
function names(page, { x }, { readings, rows }) {
  return rows.map((row, n) => {
    const [a, b] = row.map((i, side) =>
      i === null ? "–" : short(token(page, readings[side].sequence[readings[side].position[i]])),
    );
    const text = (words, y) => svg("text", { class: "name", x: x(n), y, "text-anchor": "middle" }, words);
    return a === b ? text(a, HEIGHT - 18) : [text(a, HEIGHT - 18), text(b, HEIGHT - 4)];
  });
}

function short(name) {
  const letters = [...name];
  return letters.length > 7 ? `${letters.slice(0, 6).join("")}…` : name;
}
