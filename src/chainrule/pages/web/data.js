/** Reading the data of the page, which the library has computed. */

/** A number of the data: infinities are strings there. */
export function num(x) {
  return typeof x === "string" ? Number(x) : x;
}

/** The visible form of a token. */
export function token(page, id) {
  return page.data.tokens[id] ?? `id ${id}`;
}

/** The number of factors of a reading. */
export function length(reading) {
  return reading.logprob.length;
}

/** One factor of a reading, in the order of prediction. */
export function factor(reading, i) {
  const position = reading.position[i];
  return {
    i,
    position,
    id: reading.sequence[position],
    get context() {
      return contextOf(reading, i);
    },
    logprob: num(reading.logprob[i]),
    probability: num(reading.probability[i]),
    surprisal: num(reading.surprisal_bits[i]),
    entropy: num(reading.entropy_bits?.[i] ?? null),
    rank: reading.rank?.[i] ?? null,
    runningLogprob: num(reading.running_logprob[i]),
    runningProbability: reading.running_probability?.[i] ?? null,
    top: (reading.top?.[i] ?? []).map(([id, logprob, probability]) => ({
      id,
      logprob: num(logprob),
      probability: num(probability),
    })),
  };
}

/** The positions that a factor is conditioned on, without the start symbol, in the order in which they became known. */
export function contextOf(reading, i) {
  if (reading.known) return reading.known[i];
  const position = reading.position[i];
  const size = reading.contexts[i] - (hasStart(reading) ? 1 : 0);
  const positions = [];
  for (let p = position - size; p < position; p += 1) positions.push(p);
  return positions;
}

/** Whether the factors are conditioned on a start symbol. */
export function hasStart(reading) {
  return reading.start.t !== null;
}
