/** Checking answers to exercises: pure functions, with the rules of chainrule.pages.lessons.check. */

import { typed } from "chainrule/typed.js";

const CHECKS = { number, choice, arrange, cells, match };

/** Whether an answer is right: {right, message: the explanation, or what is wrong}.

number: a number, or the text that was typed; choice: an index; arrange: the indices of the items in their
order; cells: the positions of each row; match: an index for each left item. null for what is not chosen. */
export function check(exercise, answer) {
  const message = CHECKS[exercise.kind](exercise, answer);
  return message === null ? { right: true, message: exercise.explanation } : { right: false, message };
}

/** The rows of an exercise of cells that are wrong. */
export function wrongRows(exercise, answer) {
  return exercise.known.flatMap((known, n) => (sameSet(known, answer[n]) ? [] : [n]));
}

/** The left items of a match that are wrong. Right sides of one text are as good as each other. */
export function wrongPairs({ right, answer }, given) {
  return answer.flatMap((want, k) => (given[k] !== null && right[given[k]] === right[want] ? [] : [k]));
}

function number({ answer, tolerance, mistakes }, given) {
  const { value, problem } = typeof given === "string" ? typed(given) : { value: given };
  if (problem) return problem;
  const near = (x) => value === Number(x) || Math.abs(value - Number(x)) <= tolerance;
  if (near(answer)) return null;
  const known = mistakes.find((mistake) => near(mistake.answer));
  return known?.message ?? "That is not the number. Write down each factor, and check each with the table.";
}

function choice({ answer, messages }, given) {
  if (given === null) return "Choose one of the answers.";
  return given === answer ? null : messages[given] || "That is not the answer.";
}

function arrange({ items }, given) {
  const wrong = given.findIndex((i, place) => items[i] !== items[place]);
  return wrong < 0 ? null : `Not yet: from place ${wrong + 1} on, the order is another.`;
}

function cells(exercise, given) {
  const wrong = wrongRows(exercise, given).map((n) => n + 1);
  if (!wrong.length) return null;
  const rows = wrong.length === 1 ? `row ${wrong[0]} is wrong` : `rows ${wrong.join(", ")} are wrong`;
  return `Not yet: ${rows}. A row has the tokens that are known before its own is predicted.`;
}

function match(exercise, given) {
  const wrong = wrongPairs(exercise, given).map((k) => exercise.left[k]);
  return wrong.length ? `Not yet: look again at ${wrong.join(", ")}.` : null;
}

function sameSet(a, b) {
  return new Set(a).size === new Set(b).size && a.every((x) => b.includes(x));
}
