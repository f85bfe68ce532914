/** Formulas in SVG texts. */

import { svg } from "chainrule/dom.js";

/** A formula of HTML as parts of an SVG text. */
export function spans(node) {
  if (node.nodeType === Node.TEXT_NODE) return [svg("tspan", {}, node.textContent)];
  const inner = [...node.childNodes].flatMap(spans);
  if (node.tagName === "I") inner.forEach((part) => part.setAttribute("font-style", "italic"));
  if (node.tagName !== "SUB") return inner;
  inner.forEach((part) => part.setAttribute("class", "sub"));
  inner[0].setAttribute("dy", 3);
  return [...inner, svg("tspan", { dy: -3 }, "\u200b")];
}
