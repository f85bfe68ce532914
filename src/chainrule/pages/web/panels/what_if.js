/** Panel e: what if an earlier token, the start symbol or the beginning were another? Which factors move? */

import { token } from "chainrule/data.js";
import { button, clear, field, h, roving, scroller, select } from "chainrule/dom.js";
import { index, tokenElement } from "chainrule/notation.js";
import { folded, subscript } from "chainrule/panels/figures.js";
import { absent, choice, drawn, heading } from "chainrule/panels/parts.js";
import { liveForm } from "chainrule/panels/what_if_live.js";
import { tokensOf } from "chainrule/panels/what_if_rows.js";
import { drawVariant } from "chainrule/panels/what_if_table.js";

const KINDS = [
  ["replace", "Another token"],
  ["start", "Another start symbol"],
  ["cut", "A shorter context"],
];

/** Draw the panel. data-change: the kind of change shown first: replace, start or cut. */
export function mount(element, page) {
  const body = h("div");
  const about =
    "Change something early in the text, and see which factors move. Those before the change do not.";
  clear(element, heading(element, "What if", about), body);
  const state = {
    element,
    page,
    body,
    kind: element.dataset.change ?? "replace",
    known: null,
    variant: null,
  };
  drawn([page.changed, page.notation], () => draw(state));
}

function draw(state) {
  const { page, body } = state;
  const reading = page.reading("text");
  if (state.asking) return;
  const variants = page.data.variants ?? [];
  if (variants !== state.known) begin(state, variants);
  const parts = { text: h("div"), chosen: h("div", { class: "chosen" }), result: h("div") };
  Object.assign(state, { reading, parts });
  const otherwise = "This page has no what-ifs: make it with variants, or open it from chainrule serve.";
  if (!reading || (!variants.length && !page.live)) {
    clear(body, absent(page, "variants", otherwise));
    return;
  }
  const kinds = KINDS.filter(([kind]) => page.live || variants.some((variant) => variant.kind === kind));
  const chooseKind = (kind) => {
    state.kind = kind;
    state.variant = first(state);
    update(state);
  };
  const control = choice("What changes", kinds, state.kind, chooseKind).element;
  clear(body, kinds.length > 1 ? control : null, parts.text, parts.chosen, parts.result);
  update(state);
}

/** New what-ifs: the first of the kind that was chosen, or of any. */
function begin(state, variants) {
  state.known = variants;
  state.variants = variants;
  state.variant = first(state) ?? variants[0] ?? null;
  if (state.variant) state.kind = state.variant.kind;
}

/** The what-if of a kind that is shown first: for a token, one with some text before and after it. */
function first(state) {
  const some = of(state, state.kind);
  return state.kind === "replace" ? (some[Math.floor(some.length / 3)] ?? null) : (some[0] ?? null);
}

function of(state, kind) {
  return state.variants.filter((variant) => variant.kind === kind);
}

/** Draw what depends on the chosen what-if. */
function update(state) {
  const { page, parts } = state;
  drawText(state);
  clear(parts.chosen, chooser(state), page.live ? liveForm(state, (variant) => add(state, variant)) : null);
  clear(parts.result, state.variant ? drawVariant(state) : absent(page, "variants", "Choose a change."));
}

/** A what-if that the server has computed. */
function add(state, variant) {
  state.variants = [...state.variants, variant];
  state.page.data.variants = state.known = state.variants;
  choose(state, variant);
}

function choose(state, variant) {
  state.variant = variant;
  state.kind = variant.kind;
  clear(state.parts.result, drawVariant(state));
  drawText(state);
  clear(state.parts.chosen.firstElementChild, ...chooser(state).childNodes);
  state.page.announce(state.parts.result.querySelector(".summary")?.textContent ?? "");
}

/** The selects of the what-ifs of a kind. */
function chooser(state) {
  const some = of(state, state.kind);
  const name = (variant) => state.variants.indexOf(variant).toString();
  const pick = (value) => {
    choose(state, state.variants[Number(value)]);
    state.parts.chosen.querySelector(`[data-select="${state.kind}"]`).focus();
  };
  if (!some.length) return h("div");
  const options = (list, label) => list.map((variant) => [name(variant), label(variant)]);
  const chosen = state.variant ? name(state.variant) : "";
  const attributes = { "data-select": state.kind };
  if (state.kind !== "replace") {
    const label = state.kind === "start" ? startName(state) : cutName;
    const title = state.kind === "start" ? "The start symbol becomes" : "The context begins later";
    return h("div", {}, field(title, select(options(some, label), chosen, pick, attributes)));
  }
  const here = some.filter((variant) => variant.position === state.variant?.position);
  const firsts = some.filter(
    (variant, k) => some.findIndex((other) => other.position === variant.position) === k,
  );
  const position = firsts.find((variant) => variant.position === state.variant?.position);
  const becomes = (variant) =>
    tokensOf(variant)
      .map((t) => token(state.page, t))
      .join(" ");
  const where = select(
    options(firsts, positionName(state)),
    position ? name(position) : "",
    pick,
    attributes,
  );
  const what = select(
    options(here, becomes),
    chosen,
    (value) => {
      choose(state, state.variants[Number(value)]);
      state.parts.chosen.querySelector('[data-select="becomes"]').focus();
    },
    { "data-select": "becomes" },
  );
  return h("div", {}, field("Instead of", where), field("the text has", what));
}

function positionName({ page, reading }) {
  return ({ position }) =>
    `${subscript("x", index(page, reading, position))} ${token(page, reading.sequence[position])}`;
}

function startName({ page }) {
  return ({ t }) => (t === null ? "none: the first token is given" : token(page, t));
}

function cutName({ position }) {
  return position === 1 ? "without its first token" : `without its first ${position} tokens`;
}

/** The tokens of the text: those with a what-if are buttons; in a live page all of them are. */
function drawText(state) {
  const { page, parts, reading, variant } = state;
  if (state.kind !== "replace" && !(variant?.kind === "cut")) {
    clear(parts.text);
    return;
  }
  const some = of(state, "replace");
  const act = (position) => {
    const found = some.find((each) => each.position === position);
    if (found) choose(state, found);
    else state.parts.chosen.querySelector("form")?.place(position);
    if (found) parts.text.querySelector('[aria-pressed="true"]')?.focus({ preventScroll: true });
  };
  const plain = (position) =>
    !isButton(state, some, position) && state.kind !== "cut" && plainAround(position);
  const plainAround = (position) => [-2, -1, 1, 2].every((by) => !isButton(state, some, position + by));
  const items = folded(reading.sequence.length, plain, 12);
  const chips = items.map((item) =>
    typeof item === "number"
      ? chip(state, some, item, act)
      : h("span", { class: "note" }, ` … ${(item.to - item.from + 1).toLocaleString("en")} tokens … `),
  );
  const text = h(
    "p",
    { class: "tokens" },
    chips.flatMap((item) => [item, " "]),
  );
  const region = scroller("The tokens of the text", text);
  region.classList.add("short");
  clear(parts.text, region);
  const buttons = chips.filter((item) => item.tagName === "BUTTON");
  const pressed = buttons.findIndex((b) => b.getAttribute("aria-pressed") === "true");
  if (buttons.length) roving(text, buttons, pressed);
  if (pressed >= 0)
    region.scrollTop = buttons[pressed].offsetTop - region.offsetTop - region.clientHeight / 2;
}

function isButton({ page, reading, kind }, some, position) {
  if (kind === "cut") return false;
  const here = position >= 0 && position < reading.sequence.length;
  return here && (Boolean(page.live) || some.some((each) => each.position === position));
}

function chip(state, some, position, act) {
  const { page, reading, kind, variant } = state;
  const t = reading.sequence[position];
  const name = tokenElement(page, t);
  if (kind === "cut")
    return h("span", { class: variant && position < variant.position ? "cut" : null }, name);
  if (!isButton(state, some, position)) return name;
  const pressed = String(variant?.kind === "replace" && variant.position === position);
  const symbol = subscript("x", index(page, reading, position));
  const label = `Another token instead of ${symbol} ${token(page, t)}`;
  return button(name, () => act(position), { "aria-pressed": pressed, "aria-label": label });
}
