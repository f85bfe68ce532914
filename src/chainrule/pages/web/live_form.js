/** The controls of the form of a server's page, and what they say. */

import { clear, field, h, select } from "chainrule/dom.js";

const STARTS = [
  ["", "that of the model"],
  ["bos", "bos"],
  ["eos", "eos"],
  ["given", "none: the first token is given"],
];
const LESSONS = " on the chain rule, with the numbers of the model";
const LESSONS_AS_FILES =
  "Lessons: a link cannot send the key of this server. chainrule lessons writes them as files.";

/** The controls: elements, what they ask for, and setModels(names). */
export function controls(live, key) {
  const lessons = h("a", { href: live.lessons ?? "" }, "Lessons");
  const link = () => {
    const chosen = model.length > 1 ? `?model=${encodeURIComponent(model.value)}` : "";
    if (live.lessons) lessons.href = live.lessons + chosen;
  };
  const model = select([], "", link, { name: "model" });
  const all = {
    model,
    text: area("text", 3, live.text),
    compare: area("compare", 2),
    context: area("context", 2),
    start: select(STARTS, "", () => {}, { name: "start" }),
    tokens: h("input", { type: "number", min: 1, max: 64, value: 8, name: "max_tokens", required: true }),
    key: h("input", { type: "password", autocomplete: "off", value: key, name: "key" }),
  };
  const models = field("Model", model);
  const setModels = (names) => {
    clear(model, ...names.map((name) => h("option", { value: name }, name)));
    models.hidden = names.length < 2;
    link();
  };
  setModels(live.models);
  return {
    key: all.key,
    setModels,
    fields: fields(all, models, live.key),
    lessons: h("p", { class: "note" }, live.lessons ? [lessons, LESSONS] : LESSONS_AS_FILES),
    request: () => request(all),
    more: () => ({
      comparison: all.compare.value ? { compare: all.compare.value } : {},
      variants: {},
      growths: { max_tokens: Number(all.tokens.value) },
    }),
  };
}

function area(name, rows, value = "") {
  return h("textarea", { rows, name, value, spellcheck: "false", autocapitalize: "off", dir: "auto" });
}

function fields(all, models, closed) {
  return [
    closed ? field("Key of the server", all.key) : null,
    models,
    field("Text", all.text),
    field("Another text to compare with (optional)", all.compare),
    h(
      "details",
      {},
      h("summary", {}, "Context, start symbol, length of continuations"),
      field("Context: the text before, which is not scored itself", all.context),
      field("Start symbol: what the first token is conditioned on", all.start),
      field("Tokens to continue by", all.tokens),
    ),
  ];
}

function request({ model, text, context, start }) {
  return {
    text: text.value,
    ...(context.value ? { context: context.value } : {}),
    ...(start.value ? { start: start.value } : {}),
    ...(model.length > 1 ? { model: model.value } : {}),
  };
}
