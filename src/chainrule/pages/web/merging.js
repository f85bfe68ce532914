/** Replies of a server, and the data of the page. */

/** Put a section into the data. A what-if or a method of growing that was asked for alone is added. */
export function merge(data, reply, section, more = {}) {
  const { tokens, readings, missing, ...sections } = reply;
  Object.assign(data.tokens, tokens);
  Object.assign(data.readings, readings);
  for (const name of Object.keys(sections)) delete data.missing[name];
  Object.assign(data.missing, missing);
  if (section === "variant") {
    const [added] = reply.variants;
    sections.variants = [...data.variants.filter((each) => !same(each, added)), added];
  }
  if (section === "growths" && more.method) sections.growths = joined(data.growths, reply.growths);
  Object.assign(data, sections);
}

/** Replace all of the data by a reply with a new text. missing: why the other sections are absent. */
export function renew(data, reply, missing) {
  data.tokens = {};
  data.readings = {};
  data.missing = {};
  Object.assign(data, { openings: null, variants: [], variants_note: null, growths: null, comparison: null });
  Object.assign(data.missing, missing);
  merge(data, reply, "text");
}

/** Whether two what-ifs are of the same change. */
function same(one, other) {
  return one.kind === other.kind && one.position === other.position && one.t === other.t;
}

function joined(before, now) {
  if (!before || !now || before.max_tokens !== now.max_tokens) return now;
  const names = new Set(now.methods.map((each) => each.method));
  return { ...now, methods: [...before.methods.filter((each) => !names.has(each.method)), ...now.methods] };
}
