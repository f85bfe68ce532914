/** The factors of a text before and after a change, row by row: pure functions. */

import { num } from "chainrule/data.js";
import { difference } from "chainrule/panels/figures.js";

/** The rows of a change, in the order of prediction.

kind: "gone" (no factor after the change), "same" (the same bits), "new" (of a token that the change put
there), "moved" (all others). i: the factor of the text itself, null if it has none. before, after: log Pr in
nats, null where there is no factor. */
export function rowsOf(reading, variant) {
  const added = (variant.added ?? []).map((x) => row("new", null, null, null, num(x)));
  const own = reading.logprob.flatMap((x, i) => rowsOfFactor(reading, variant, i, num(x)));
  return [...added, ...own];
}

function rowsOfFactor(reading, variant, i, before) {
  const { first, logprob, removed } = variant;
  const after = (k) => num(logprob[k]);
  if (i < removed) return [row("gone", i, null, before, null)];
  if (i < first) return [row("same", i, null, before, before)];
  const changed = changedFactor(reading, variant);
  const extra = logprob.length - (reading.logprob.length - first); // tokens more than the one replaced
  if (i !== changed)
    return [row("moved", i, null, before, after(i - first + (changed !== null && i > changed ? extra : 0)))];
  const tokens = tokensOf(variant);
  return tokens.map((t, k) => row("new", k ? null : i, t, k ? null : before, after(i - first + k)));
}

/** The tokens that a replacement puts into the text. */
export function tokensOf(variant) {
  return variant.tokens ?? (variant.t === null ? [] : [variant.t]);
}

/** The factor of the replaced token; null if it is given, or if nothing is replaced. */
export function changedFactor(reading, variant) {
  if (variant.kind !== "replace") return null;
  const i = reading.position.indexOf(variant.position);
  return i < 0 ? null : i;
}

function row(kind, i, token, before, after) {
  const by = before === null || after === null ? null : difference(after, before);
  return { kind, i, token, before, after, by };
}

/** The moved factor with the largest change; null if none moved. */
export function largestOf(rows) {
  const size = ({ by }) => Math.abs(by);
  const moved = rows.filter(({ kind, by }) => kind === "moved" && by !== 0);
  return moved.reduce((most, each) => (most === null || size(each) > size(most) ? each : most), null);
}

/** {before, after, remain}: the sums. remain: some factors are gone, and only the others are compared. */
export function sumsOf(reading, variant) {
  const total = num(reading.total.logprob);
  const gone = variant.removed ? num(reading.running_logprob[variant.removed - 1]) : 0;
  const before = gone === 0 ? total : gone === -Infinity ? null : total - gone;
  return { before, after: num(variant.total_logprob), remain: variant.removed > 0 };
}
