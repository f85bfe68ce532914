/** The page of a server: a text to type, and sections that are computed when they are asked for. */

import { button, clear, h } from "chainrule/dom.js";
import { controls } from "chainrule/live_form.js";
import { merge, renew } from "chainrule/merging.js";
import { answer, keepKey, readKey, send } from "chainrule/requests.js";

const COMPUTING = "This part is being computed.";
const STOPPED = "It was stopped: choose Compute to compute it.";
const DOING = {
  text: "The factors of the text are being computed …",
  comparison: "The other text is being computed …",
  variants: "What-ifs are being computed …",
  growths: "Continuations are being computed …",
};

/** Draw the form into `element`, and return what panels ask for more; null for a page that is a file. */
export function connect(page, element) {
  const { live } = page.data;
  if (!live || !element) return null;
  // request: of the text that is shown. running: what Stop ends. asks: what a new text ends
  const state = { request: null, running: null, asks: new AbortController(), key: readKey() };
  const ask = async (section, more = {}, signal = state.asks.signal) => {
    const { request } = state;
    if (!request) throw new Error("No text has been computed yet: choose Compute first.");
    const reply = await send(live.url, state.key, { ...request, ...more, section }, signal);
    if (request !== state.request) throw new DOMException("another text was asked for", "AbortError");
    merge(page.data, reply, section, more);
    redraw(page);
    return reply;
  };
  drawForm(element, page, live, state, ask);
  return { ask };
}

function drawForm(element, page, live, state, ask) {
  const form = controls(live, state.key);
  const message = h("p", { class: "note", role: "status" });
  const say = (words) => (message.textContent = words);
  const stop = button("Stop", () => state.running?.abort(), { hidden: true });
  const go = h("button", { type: "submit", class: "main" }, "Compute");
  const submit = async (event) => {
    event.preventDefault();
    keepKey((state.key = form.key.value));
    await run(page, live, state, ask, form, stop, say);
  };
  const hint = h("small", { class: "note" }, "or Ctrl + Enter");
  const below = [h("p", {}, go, " ", stop, " ", hint), message, form.lessons];
  const drawn = h("form", { onsubmit: submit, class: "live" }, form.fields, below);
  drawn.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) drawn.requestSubmit();
  });
  clear(element, drawn);
  const askNames = async () => {
    keepKey((state.key = form.key.value));
    try {
      const { data } = await answer(live.names, state.key, {});
      form.setModels(data.map((each) => each.id));
      say("");
    } catch (error) {
      say(error.message);
    }
  };
  form.key.addEventListener("change", askNames);
  if (live.key && state.key) askNames();
}

/** Compute a text in place of the one that is being computed. */
async function run(page, live, state, ask, form, stop, say) {
  state.running?.abort();
  state.asks.abort();
  state.asks = new AbortController();
  const running = (state.running = new AbortController());
  const latest = () => running === state.running;
  stop.hidden = false;
  try {
    const words = await compute(page, live, state, ask, form, running.signal, (now) => latest() && say(now));
    if (latest()) say(words);
  } catch (error) {
    if (latest()) say(error.name === "AbortError" ? "Stopped." : error.message);
  }
  if (latest()) stop.hidden = true;
}

/** Compute all sections, one after another. The old text is shown until the new one has its factors. */
async function compute(page, live, state, ask, form, signal, say) {
  const [request, more] = [form.request(), form.more()];
  say(DOING.text);
  const reply = await send(live.url, state.key, { ...request, section: "text" }, signal);
  state.request = request;
  renew(page.data, reply, { variants: COMPUTING, growths: COMPUTING, comparison: COMPUTING });
  page.selected.set(0);
  showModel(page);
  redraw(page);
  const sections = ["comparison", "variants", "growths"];
  const failed = [];
  for (const [i, section] of sections.entries()) {
    say(DOING[section]);
    try {
      await ask(section, more[section], signal);
    } catch (error) {
      if (state.request !== request) throw error;
      const absent = signal.aborted ? sections.slice(i) : [section];
      for (const name of absent) page.data.missing[name] = signal.aborted ? STOPPED : error.message;
      redraw(page);
      if (signal.aborted) throw error;
      failed.push(error.message);
    }
  }
  return failed.join(" ") || `The page shows the text: ${reply.readings.text.logprob.length} factors.`;
}

function redraw(page) {
  page.changed.set(page.changed.value + 1);
}

function showModel(page) {
  const place = document.querySelector("#page > header .note");
  if (place && page.data.model) place.textContent = page.data.model.title;
}
