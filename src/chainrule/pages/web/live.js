/** The page of a server: a text to type, and sections that are computed when they are asked for. */

import { clear, field, h, select } from "chainrule/dom.js";

const KEY = "chainrule-key";

/** Draw the form into `element`, and return what panels ask for more; null for a page that is a file. */
export function connect(page, element) {
  const { live } = page.data;
  if (!live || !element) return null;
  const state = { request: null, key: readKey() };
  const message = h("p", { class: "note", role: "status" });
  const ask = async (section, more = {}) => {
    const reply = await send(live, state, { ...state.request, section, ...more });
    merge(page, reply);
    page.changed.set(page.changed.value + 1);
    return reply;
  };
  drawForm(element, page, live, state, ask, message);
  return { ask, message };
}

async function send(live, state, body) {
  const headers = { "Content-Type": "application/json" };
  if (state.key) headers.Authorization = `Bearer ${state.key}`;
  const reply = await fetch(live.url, { method: "POST", headers, body: JSON.stringify(body) });
  const json = await reply.json().catch(() => null);
  if (reply.ok && json) return json;
  throw new Error(json?.error?.message ?? `the server replied ${reply.status}`);
}

/** Put the sections of a reply into the data of the page. */
function merge(page, reply) {
  const { data } = page;
  Object.assign(data.tokens, reply.tokens);
  Object.assign(data.readings, reply.readings);
  const { tokens, readings, missing, ...sections } = reply;
  for (const name of Object.keys(sections)) delete data.missing[name];
  Object.assign(data.missing, missing);
  Object.assign(data, sections);
}

function drawForm(element, page, live, state, ask, message) {
  const first = page.reading("text");
  const text = h("textarea", { rows: 3, spellcheck: "false", name: "text" }, first?.text ?? "");
  const other = h("textarea", { rows: 2, spellcheck: "false", name: "compare" });
  const model = select(live.models.map((name) => [name, name]), live.models[0], () => {});
  const key = h("input", { type: "password", autocomplete: "off", value: state.key });
  const submit = async (event) => {
    event.preventDefault();
    state.key = key.value;
    keepKey(state.key);
    state.request = { text: text.value, ...(live.models.length > 1 ? { model: model.value } : {}) };
    go.disabled = true;
    message.textContent = "The model computes …";
    try {
      Object.assign(page.data, { openings: null, variants: [], growths: null, comparison: null });
      page.selected.set(0);
      await ask("text");
      const sections = ["variants", "growths"];
      for (const section of sections) await ask(section);
      await ask("comparison", other.value ? { compare: other.value } : {});
      message.textContent = "";
      page.announce("The page shows the new text.");
    } catch (error) {
      message.textContent = error.message;
    }
    go.disabled = false;
  };
  const go = h("button", { type: "submit", class: "main" }, "Compute");
  const form = h(
    "form",
    { onsubmit: submit, class: "live" },
    field("Text", text),
    field("Another text to compare with (optional)", other),
    live.models.length > 1 ? field("Model", model) : null,
    live.key ? field("Key of the server", key) : null,
    h("p", {}, go),
    message,
  );
  clear(element, form);
  text.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
  });
}

function readKey() {
  try {
    return sessionStorage.getItem(KEY) ?? "";
  } catch {
    return "";
  }
}

function keepKey(key) {
  try {
    if (key) sessionStorage.setItem(KEY, key);
    else sessionStorage.removeItem(KEY);
  } catch {
    // a browser without storage asks for the key again
  }
}
