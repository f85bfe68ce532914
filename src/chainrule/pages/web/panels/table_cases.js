/** Tables to begin with, each with what it shows. Contexts and texts are tokens with spaces between them. */

/** The cases, by name. rows: context → cells, as they are typed. texts: worth a look; the first is chosen. */
export const CASES = {
  product: {
    label: ".1 · .5 · .8",
    note:
      "The probability of a text is the product of its factors: .1 · .5 · .8 = .04 for “a b b”, and .1 · " +
      ".5 · .2 = .01 for “a b a”. Its logarithm is the sum of their logarithms: ln .01 = −4.605170 nats.",
    tokens: ["a", "b"],
    probabilities: true,
    backOff: true,
    rows: [
      ["", [".1", ".9"]],
      ["a", [".5", ".5"]],
      ["b", [".3", ".7"]],
      ["a b", [".2", ".8"]],
    ],
    texts: ["a b b", "a b a"],
  },
  logs: {
    label: "−1.5 − 2.0 − 1.2",
    note:
      "Log probabilities are added: −1.5 − 2.0 − 1.2 = −4.7 nats for “a a a”. Each row of logits here is " +
      "a row of log probabilities (the second is ln(1 − Pr(a))), so that softmax leaves it as it is.",
    tokens: ["a", "b"],
    probabilities: false,
    backOff: true,
    rows: [
      ["", ["-1.5", "-0.25248245892545396"]],
      ["a", ["-2.0", "-0.14541345786885906"]],
      ["a a", ["-1.2", "-0.3583824178604339"]],
    ],
    texts: ["a a a"],
  },
  zero: {
    label: "A factor of 0",
    note:
      "0 · .4 · .8 = 0: a text with an impossible step is impossible. Its log probability is −∞. The " +
      "other texts still sum to 1.",
    tokens: ["a", "b"],
    probabilities: true,
    backOff: true,
    rows: [
      ["", ["0", "1"]],
      ["a", [".6", ".4"]],
      ["b", [".5", ".5"]],
      ["a b", [".2", ".8"]],
    ],
    texts: ["a b b", "b a b"],
  },
  debugging: {
    label: "Debugging",
    note:
      "The sums of raw logits are 10 for “A A” and 16 for “B B”: they pick the wrong winner. Each logit " +
      "counts only beside the others of its row. Divided by the sum over the vocabulary, log Pr(A A) = " +
      "−1.411907 and log Pr(B B) = −2.626802.",
    tokens: ["A", "B", "C"],
    probabilities: false,
    backOff: false,
    rows: [
      ["", ["10", "9", "0"]],
      ["A", ["0", "0", "0"]],
      ["B", ["8", "7", "0"]],
      ["C", ["0", "0", "0"]],
    ],
    texts: ["A A", "B B"],
  },
  greedy: {
    label: "Greedy is not best",
    note:
      "At step 1 the tokens are equally probable, but what follows is not: the best text through A has " +
      "−0.693193 nats, the best through B −1.386294. Type 0.1 for B in the first row: now greedy takes B, " +
      "and misses the best text.",
    tokens: ["A", "B"],
    probabilities: false,
    backOff: false,
    rows: [
      ["", ["0", "0"]],
      ["A", ["10", "0"]],
      ["B", ["1", "1"]],
    ],
    texts: ["A A", "B A"],
  },
  bits: {
    label: "Two equal bits",
    note:
      "A fair bit, and a second that is its copy. The joint probabilities sum to 1. The " +
      "pseudo-log-likelihood, which predicts each bit from the other, is 0 for both texts: its " +
      "exponentials sum to 2, so it is a score and not a probability.",
    tokens: ["0", "1"],
    probabilities: true,
    backOff: false,
    rows: [
      ["", [".5", ".5"]],
      ["0", ["1", "0"]],
      ["1", ["0", "1"]],
    ],
    texts: ["0 0", "1 1"],
    pseudo: true,
  },
  underflow: {
    label: "10,000 factors of .5",
    note:
      "10,000 fair coins. The product is not 0, but smaller than the smallest number that a computer can " +
      "hold, so that multiplying gives 0: underflow. The sum of logs has no such problem: log₂ Pr(x) = " +
      "−10,000.",
    tokens: ["a", "b"],
    probabilities: true,
    backOff: true,
    rows: [["", [".5", ".5"]]],
    texts: ["a"],
    repeat: 10000,
    length: 3,
  },
};
