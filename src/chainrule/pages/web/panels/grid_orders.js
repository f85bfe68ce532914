/** The control that shows the contexts of another order. */

import { hasStart } from "chainrule/data.js";
import { button, field, h, uid } from "chainrule/dom.js";
import { index } from "chainrule/notation.js";

/** A field for an order, and buttons. state: {order, text, message, seed}; `again` draws the grid anew. name: of the buttons. */
export function orders(page, reading, state, again, name) {
  const own = [...reading.position].sort((a, b) => a - b);
  const message = h("p", { class: "note" }, state.message);
  const problem = h("p", { class: "warning", id: uid("order"), role: "alert" });
  const input = h("input", {
    type: "text",
    value: state.text,
    "data-control": "order",
    autocomplete: "off",
    spellcheck: "false",
    placeholder: example(page, reading, own),
    "aria-describedby": problem.id,
  });
  const show = (order, text, control) => {
    Object.assign(state, { order, message: text, text: order ? inWords(page, reading, order) : "" });
    again(control);
    page.announce(text);
  };
  const named = (control, label, orderOf) =>
    button(label, () => show(...orderOf(), control), { "data-control": control });
  const submit = (event) => {
    event.preventDefault();
    const { order, error } = parse(page, reading, input.value);
    problem.textContent = error ?? "";
    input.setAttribute("aria-invalid", String(Boolean(error)));
    if (order) show(order, "The contexts of this order.", "order");
    else input.focus();
  };
  return h(
    "form",
    { class: "orders no-print", onsubmit: submit },
    field("Another order of prediction (indices of x)", input),
    h("button", { type: "submit" }, "Show"),
    h(
      "div",
      { class: "buttons", role: "group", "aria-label": name },
      named("left", "Left to right", () => [own, "From left to right."]),
      named("right", "Right to left", () => [[...own].reverse(), "From right to left."]),
      named("random", "Random", () => [
        shuffled(own, (state.seed += 1)),
        `A random order, seed ${state.seed}.`,
      ]),
      state.order
        ? button("The model's own order", () => show(null, "The model's own order.", "order"), {
            class: "main",
          })
        : null,
    ),
    problem,
    message,
  );
}

/** {order} of a text such as "0 4 2 1 3", or {error}: what is wrong with it. */
function parse(page, reading, text) {
  const words = text.split(/->|[\s,;→]+/u).filter(Boolean);
  const strange = words.find((word) => !/^\d+$/u.test(word));
  if (!words.length)
    return { error: "Write the positions in the order in which they are predicted, such as 2 0 1." };
  if (strange !== undefined)
    return { error: `“${strange}” is not a position: write whole numbers, such as 2 0 1.` };
  const numbers = words.map(Number);
  if (shift(page, reading) && numbers[0] === 0) numbers.shift(); // the course's start symbol comes first by itself
  return check(page, reading, numbers);
}

function check(page, reading, numbers) {
  const wanted = reading.position.map((position) => index(page, reading, position)).sort((a, b) => a - b);
  const [least, most] = [wanted[0], wanted.at(-1)];
  const outside = numbers.find((n) => !wanted.includes(n));
  if (outside !== undefined) return { error: outsideMessage(page, reading, outside, least, most) };
  const twice = numbers.find((n, i) => numbers.indexOf(n) !== i);
  if (twice !== undefined)
    return { error: `Position ${twice} is there twice: each token is predicted once.` };
  const absent = wanted.filter((n) => !numbers.includes(n));
  if (absent.length)
    return {
      error: `${absent.slice(0, 5).join(", ")}${absent.length > 5 ? " …" : ""} missing: each token is predicted once.`,
    };
  return { order: numbers.map((n) => n - shift(page, reading)) };
}

function outsideMessage(page, reading, n, least, most) {
  if (n === 0 && shift(page, reading))
    return "x₀ is the start symbol, which is given: it comes first, or is left out.";
  return `There is no token to predict at position ${n}: write ${least} to ${most}.`;
}

/** What the notation of the course adds to a position. */
function shift(page, reading) {
  return page.notation.value === "course" && hasStart(reading) ? 1 : 0;
}

function inWords(page, reading, order) {
  return order.map((position) => index(page, reading, position)).join(" ");
}

function example(page, reading, own) {
  return own.length > 12 ? "2 0 1 …" : inWords(page, reading, shuffled(own, 1));
}

/** A random order that a seed repeats (mulberry32, Fisher and Yates). */
export function shuffled(items, seed) {
  const result = [...items];
  let state = seed;
  const random = () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
  for (let i = result.length - 1; i > 0; i -= 1) {
    const j = Math.floor(random() * (i + 1));
    [result[i], result[j]] = [result[j], result[i]];
  }
  return result;
}
