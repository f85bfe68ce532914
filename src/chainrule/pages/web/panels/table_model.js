/** A table of conditionals as a model, as chainrule.TableModel: pure functions on numbers, without a page.

A model is {size, probabilities, backOff, rows: [{context: [token numbers], numbers: [size numbers]}]}.
`compile` checks it and makes its rows ready: log probabilities in nats, found by context. */

const CLOSE = 1e-9; // how near to 1 a row of probabilities must sum, as in chainrule.TableModel

/** What is wrong with a table or a text, in words. */
export class TableError extends Error {}

/** The exactly rounded sums of the first 1, 2, … numbers (Shewchuk 1997). */
export function runningSums(numbers) {
  let parts = [];
  return numbers.map((number) => {
    if (!Number.isFinite(number) || (parts.length && !Number.isFinite(parts.at(-1)))) {
      parts = [[...parts, number].reduce((a, b) => a + b)];
    } else parts = grown(parts, number);
    return rounded(parts);
  });
}

/** The exactly rounded sum. */
export function exactSum(numbers) {
  if (!numbers.every(Number.isFinite)) return numbers.reduce((a, b) => a + b, 0);
  return rounded(numbers.reduce(grown, []));
}

/** Numbers that do not overlap and have the sum of `parts` and `number`. */
function grown(parts, number) {
  const rest = [];
  let total = number;
  for (const part of parts) {
    const [large, small] = Math.abs(total) >= Math.abs(part) ? [total, part] : [part, total];
    total = large + small;
    const error = small - (total - large);
    if (error) rest.push(error);
  }
  return [...rest, total];
}

/** The sum of numbers that do not overlap, rounded once: half to even, as math.fsum. */
function rounded(parts) {
  let n = parts.length - 1;
  if (n < 0) return 0;
  let high = parts[n];
  let low = 0;
  while (n > 0 && low === 0) {
    const before = high;
    n -= 1;
    high = before + parts[n];
    low = parts[n] - (high - before);
  }
  const same = n > 0 && ((low < 0 && parts[n - 1] < 0) || (low > 0 && parts[n - 1] > 0));
  const next = high + low * 2;
  return same && next - high === low * 2 ? next : high;
}

/** log Σ exp(x), without overflow. */
export function logSumExp(numbers) {
  const most = Math.max(...numbers);
  if (most === -Infinity) return -Infinity;
  return most + Math.log(exactSum(numbers.map((x) => Math.exp(x - most))));
}

/** What is wrong with a row: {kind: "number"|"sum", message}; null if it is right. */
export function rowProblem(numbers, probabilities) {
  if (numbers.some((x) => Number.isNaN(x) || x === Infinity)) {
    return { kind: "number", message: "Each cell needs a number." };
  }
  if (!probabilities) {
    const none = numbers.every((x) => x === -Infinity);
    return none ? { kind: "number", message: "All logits are −∞: no token could come next." } : null;
  }
  if (numbers.some((x) => x < 0)) return { kind: "number", message: "A probability cannot be negative." };
  const sum = exactSum(numbers);
  return Math.abs(sum - 1) <= CLOSE
    ? null
    : { kind: "sum", sum, message: "The probabilities of a row must sum to 1." };
}

/** The log probabilities of a row. */
export function rowLogprobs(numbers, probabilities) {
  const problem = rowProblem(numbers, probabilities);
  if (problem) throw new TableError(problem.message);
  const norm = probabilities ? Math.log(exactSum(numbers)) : logSumExp(numbers);
  return numbers.map((x) => (probabilities ? Math.log(x) : x) - norm);
}

/** A model that `factors` and all below can use. Throws TableError for a row that is not right. */
export function compile({ size, probabilities, backOff, rows }) {
  const entries = rows.map(({ context, numbers }, row) => [
    context.join(),
    { row, numbers, logprobs: rowLogprobs(numbers, probabilities) },
  ]);
  const longest = Math.max(0, ...rows.map(({ context }) => context.length));
  return { size, probabilities, backOff, longest, found: new Map(entries) };
}

/** The row of a context; with back-off, of its longest suffix that has one. Throws TableError without one. */
function lookup(model, context) {
  const first = model.backOff ? Math.max(0, context.length - model.longest) : 0;
  const last = model.backOff ? context.length : 0;
  for (let cut = first; cut <= last; cut += 1) {
    const row = model.found.get(context.slice(cut).join());
    if (row) return row;
  }
  throw new TableError(
    "The table has no row for a context of this text. Add the row, or switch back-off on.",
  );
}

/** The factors of a text: {id, row, number: as in the table, logprob}. */
export function factors(model, ids) {
  return ids.map((id, i) => {
    // no context is longer than the longest of the table, but for a table without back-off
    const start = model.backOff ? Math.max(0, i - model.longest) : 0;
    const { row, numbers, logprobs } = lookup(model, ids.slice(start, i));
    return { id, row, number: numbers[id], logprob: logprobs[id] };
  });
}

/** The log probability of a text. */
export function logprob(model, ids) {
  return exactSum(factors(model, ids).map((factor) => factor.logprob));
}

/** All texts of a length, in the order of their tokens. */
function sequences(size, length) {
  let all = [[]];
  for (let n = 0; n < length; n += 1)
    all = all.flatMap((ids) => Array.from({ length: size }, (_, v) => [...ids, v]));
  return all;
}

/** All texts of a length, the most probable first: {ids, logprob, raw: the sum of the table's numbers}. */
export function ranking(model, length) {
  const texts = sequences(model.size, length).map((ids) => {
    const parts = factors(model, ids);
    return { ids, logprob: exactSum(parts.map((f) => f.logprob)), raw: exactSum(parts.map((f) => f.number)) };
  });
  return texts.sort((a, b) => compare(b.logprob, a.logprob));
}

/** The most probable token at each step, the first in the table if several are. */
export function greedy(model, length) {
  return greedyPaths(model, length, 1)[0];
}

/** All texts that "the most probable token at each step" can give: several if tokens are equally probable. */
export function greedyPaths(model, length, most = 16) {
  let paths = [[]];
  for (let n = 0; n < length; n += 1) {
    paths = paths.flatMap((ids) => tops(lookup(model, ids).logprobs).map((v) => [...ids, v])).slice(0, most);
  }
  return paths;
}

/** The most probable text of a length. */
export function best(model, length) {
  return ranking(model, length)[0].ids;
}

/** The pseudo-log-likelihood: the sum of log Pr(x_i | all others). NaN if the others are impossible. */
export function pseudoLogLikelihood(model, ids) {
  const whole = logprob(model, ids);
  const parts = ids.map((_, i) => {
    const others = Array.from({ length: model.size }, (_, v) => logprob(model, ids.with(i, v)));
    return whole - logSumExp(others);
  });
  return exactSum(parts);
}

function tops(logprobs) {
  const most = Math.max(...logprobs);
  return logprobs.flatMap((x, v) => (x === most ? [v] : []));
}

/** As a − b, but 0 for two equal infinities. */
function compare(a, b) {
  return a === b ? 0 : a - b;
}
