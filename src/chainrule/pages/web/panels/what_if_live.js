/** The form of panel e in a live page: any token, any start symbol, any number of tokens to cut. */

import { field, h } from "chainrule/dom.js";
import { index } from "chainrule/notation.js";
import { asking } from "chainrule/panels/parts.js";

const FORMS = { replace, start, cut };

/** The form for the kind of change that is chosen. form.place(position): fill in a position. */
export function liveForm(state, done) {
  const { fields, change, place } = FORMS[state.kind](state);
  const ask = async () => {
    const wanted = change();
    if (typeof wanted === "string") return wanted;
    state.asking = true; // the page draws itself anew otherwise
    try {
      const reply = await state.page.live.ask("variant", { change: wanted });
      done(reply.variants[0]);
    } finally {
      state.asking = false;
    }
    return "";
  };
  const form = asking("Compute", ask, ...fields);
  form.place = place ?? (() => {});
  return form;
}

function replace({ page, reading, variant }) {
  const shift = index(page, reading, 0); // the course counts the start symbol
  const last = reading.sequence.length - 1;
  const position = h("input", {
    type: "number",
    min: shift,
    max: shift + last,
    value: String((variant?.position ?? 0) + shift),
  });
  const token = h("input", { type: "text", spellcheck: "false", autocomplete: "off", size: 16 });
  const change = () => {
    const p = Number(position.value) - shift;
    if (!Number.isInteger(p) || p < 0 || p > last)
      return `The position is a number from ${shift} to ${shift + last}.`;
    if (!token.value) return "Type the text that the position is to have.";
    return { kind: "replace", position: p, token: token.value };
  };
  const place = (p) => {
    position.value = String(p + shift);
    token.focus();
  };
  return { fields: [field("Or type: at position", position), field("the text is", token)], change, place };
}

function start() {
  const symbol = h("input", { type: "text", spellcheck: "false", autocomplete: "off", size: 12 });
  const change = () => {
    const typed = symbol.value.trim();
    if (!typed) return "Type bos, eos, given, or the id of a token.";
    return { kind: "start", start: /^\d+$/.test(typed) ? Number(typed) : typed };
  };
  return { fields: [field("Or type a start symbol: bos, eos, given, or an id", symbol)], change };
}

function cut({ reading }) {
  const most = reading.sequence.length - 1;
  const tokens = h("input", { type: "number", min: 1, max: most, value: "1" });
  const change = () => {
    const n = Number(tokens.value);
    return Number.isInteger(n) && n >= 1 && n <= most
      ? { kind: "cut", tokens: n }
      : `Type a number from 1 to ${most}.`;
  };
  return { fields: [field("Or cut off another number of tokens", tokens)], change };
}
