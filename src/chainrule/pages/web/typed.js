/** Numbers as people type them: .04, 0,04, −4.605, 4/100, 1e-3, 4.4 × 10⁻⁷, −∞. */

const SUPERSCRIPT = "⁰¹²³⁴⁵⁶⁷⁸⁹";
const PLAIN = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;
const POWER = /^(.+?)\s*[×*·x]\s*10\s*\^?\s*([+-]?\d+)$/i;

/** What was typed: {value}, or {problem} in words. */
export function typed(text) {
  const clean = ascii(String(text));
  if (clean === "") return { problem: "Type a number, such as 0.04 or −4.605." };
  if (/^[+-]?(∞|inf|infinity)$/i.test(clean)) return { value: clean.startsWith("-") ? -Infinity : Infinity };
  const value = fraction(clean) ?? power(clean) ?? plain(clean);
  if (value !== null) return { value };
  return { problem: advice(clean) };
}

function ascii(text) {
  return text
    .trim()
    .replace(/[−–]/g, "-")
    .replace(/⁻/g, "-")
    .replace(/[⁰¹²³⁴-⁹]/g, (c) => String(SUPERSCRIPT.indexOf(c)))
    .replace(/^([+-])\s+/, "$1");
}

function plain(text) {
  const point = /^[^.,]*,[^.,]*$/.test(text) ? text.replace(",", ".") : text;
  const value = PLAIN.test(point) ? Number(point) : NaN;
  return Number.isFinite(value) ? value : null;
}

function fraction(text) {
  const parts = text.split("/");
  if (parts.length !== 2) return null;
  const [above, below] = parts.map((part) => plain(part.trim()));
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
  if (text.endsWith("%")) return "Type a number without a percent sign: 0.04, not 4 %.";
  if (/[.,].*[.,]/.test(text)) return "Type a number with one point or one comma, and no other separators.";
  return "This is not a number. Type one such as 0.04, −4.605, 4/100 or 1e-3.";
}
