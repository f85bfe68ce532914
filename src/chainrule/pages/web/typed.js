/** Numbers as people type them: .04, 0,04, −4.605, 4/100, 4 %, 1e-3, 4.4 × 10⁻⁷, −∞. */

const SUPERSCRIPT = "⁰¹²³⁴⁵⁶⁷⁸⁹";
const PLAIN = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d{1,3})?$/i;
const POWER = /^(.+?)[×*·x]10\^?([+-]?\d{1,3})$/i;

/** What was typed: {value}, or {problem} in words. */
export function typed(text) {
  const clean = ascii(String(text));
  if (clean === "") return { problem: "Type a number, such as 0.04 or −4.605." };
  if (/^[+-]?(∞|inf|infinity)$/i.test(clean)) return { value: clean.startsWith("-") ? -Infinity : Infinity };
  const value = percent(clean) ?? fraction(clean) ?? power(clean) ?? plain(clean);
  if (value !== null) return { value };
  return { problem: advice(clean) };
}

function ascii(text) {
  return text
    .replace(/\s/g, "")
    .replace(/[−–]/g, "-")
    .replace(/⁻/g, "-")
    .replace(/[⁰¹²³⁴-⁹]/g, (c) => String(SUPERSCRIPT.indexOf(c)));
}

function plain(text) {
  const point = /^[^.,]*,[^.,]*$/.test(text) ? text.replace(",", ".") : text;
  const value = PLAIN.test(point) ? Number(point) : NaN;
  return Number.isFinite(value) ? value : null;
}

function percent(text) {
  const value = text.endsWith("%") ? (fraction(text.slice(0, -1)) ?? plain(text.slice(0, -1))) : null;
  return value === null ? null : value / 100;
}

function fraction(text) {
  const parts = text.split("/");
  if (parts.length !== 2) return null;
  const [above, below] = parts.map((part) => plain(part));
  return above === null || !below ? null : above / below;
}

function power(text) {
  const [, factor, exponent] = POWER.exec(text) ?? [];
  const size = factor === undefined ? null : plain(factor);
  const value = size === null ? NaN : Number(`${size}e${exponent}`);
  return Number.isFinite(value) ? value : null;
}

function advice(text) {
  if (/^(ln|log|exp)/i.test(text)) return "Work it out, and type the result as a number, such as −4.605.";
  if (/[.,].*[.,]/.test(text)) return "Type a number with one point or one comma, and no other separators.";
  return "This is not a number. Type one such as 0.04, −4.605, 4/100 or 1e-3.";
}
