/** Numbers as text. Digits are rounded for display alone; `full` shows all of them. */

const SUPERSCRIPT = { "-": "⁻", 0: "⁰", 1: "¹", 2: "²", 3: "³", 4: "⁴", 5: "⁵", 6: "⁶", 7: "⁷", 8: "⁸", 9: "⁹" };

/** Text such as 4.36e-07 or -inf in the signs of mathematics: 4.36 × 10⁻⁷, −∞. */
export function typeset(text) {
  return String(text)
    .replace(/e([+-]?\d+)/, (_, power) => ` × 10${[...String(Number(power))].map((c) => SUPERSCRIPT[c]).join("")}`)
    .replaceAll("-", "−")
    .replace("Infinity", "∞")
    .replace("inf", "∞");
}

/** A number with n significant digits, without zeros at its end. */
export function digits(x, n = 6) {
  if (!Number.isFinite(x)) return typeset(String(x));
  if (x === 0) return "0";
  const size = Math.abs(x);
  const text = size < 1e-4 || size >= 1e9 ? x.toExponential(n - 1) : x.toPrecision(n);
  return typeset(text.replace(/(\.\d*?)0+(?=e|$)/, "$1").replace(/\.(?=e|$)/, ""));
}

/** A number with n decimals: numbers of one column have one form. If they would all be 0, two significant digits. */
export function decimals(x, n = 6) {
  if (!Number.isFinite(x)) return typeset(String(x));
  const text = x.toFixed(n);
  return typeset(x !== 0 && Number(text) === 0 ? x.toPrecision(2) : text.replace(/^-(?=0\.?0*$)/, ""));
}

/** A number with all its digits: the shortest text from which the same number is read. */
export function full(x) {
  const small = x !== 0 && Math.abs(x) < 1e-4;
  return typeset(small ? x.toExponential() : String(x));
}

/** A difference with its sign: +0.5, −0.5, 0. */
export function signed(x, n = 3) {
  const text = decimals(x, n);
  return x > 0 ? `+${text}` : x === 0 ? "0" : text;
}

/** A probability with n significant digits; near 1, what is missing to 1. */
export function probability(x, n = 4) {
  const text = digits(x, n);
  return text === "1" && x < 1 ? `1 − ${digits(1 - x, 2)}` : text;
}

/** "1 token", "2 tokens". */
export function count(n, noun) {
  return `${n} ${noun}${n === 1 ? "" : "s"}`;
}

/** A whole number in groups of three digits: 49,152. */
export function grouped(n) {
  return String(n).replace(/\B(?=(\d{3})+$)/g, ",");
}
