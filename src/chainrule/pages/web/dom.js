/** Elements of the page. Text is only ever set as text, so that no text of a user becomes markup. */

const SVG = "http://www.w3.org/2000/svg";

/** An HTML element. Attributes that begin with "on" are listeners; null and false leave an attribute out. */
export function h(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** An SVG element. */
export function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

/** Replace the children of an element. */
export function clear(element, ...children) {
  element.replaceChildren(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
  return element;
}

/** A button that calls `act`. */
export function button(label, act, attributes = {}) {
  return h("button", { type: "button", onclick: act, ...attributes }, label);
}

/** A control with its label: label text, then the control. */
export function field(label, control, attributes = {}) {
  control.id ||= uid("control");
  return h("span", { class: "field", ...attributes }, h("label", { for: control.id }, label), control);
}

/** A <select> of [value, label] pairs. */
export function select(options, value, change, attributes = {}) {
  const items = options.map(([key, label]) => h("option", { value: key, selected: key === value }, label));
  return h("select", { onchange: (event) => change(event.target.value), ...attributes }, items);
}

/** A region of its own scroll bar, which the keyboard can reach, for what is wider than the screen. */
export function scroller(label, ...children) {
  return h("div", { class: "scroll", role: "region", "aria-label": label, tabindex: 0 }, children);
}

let count = 0;

/** An id that no other element has. */
export function uid(prefix) {
  count += 1;
  return `${prefix}-${count}`;
}

/** Move the focus among items by the arrow keys, Home and End; one of them is in the tab order. Returns choose(i). */
export function roving(container, items, chosen = 0, act = () => {}) {
  let current = -1;
  const choose = (i, focus = false) => {
    if (i === null || i < 0 || i >= items.length) return;
    if (current >= 0) items[current].tabIndex = -1;
    current = i;
    items[i].tabIndex = 0;
    if (focus) items[i].focus();
  };
  items.forEach((item) => (item.tabIndex = -1));
  choose(Math.min(Math.max(chosen, 0), items.length - 1));
  container.addEventListener("keydown", (event) => {
    const i = items.indexOf(event.target);
    const to = { ArrowRight: i + 1, ArrowDown: i + 1, ArrowLeft: i - 1, ArrowUp: i - 1, Home: 0, End: items.length - 1 }[event.key];
    if (i < 0 || to === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    const next = Math.min(Math.max(to, 0), items.length - 1);
    choose(next, true);
    act(next);
  });
  return choose;
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "style") Object.entries(value).forEach(([key, v]) => element.style.setProperty(key, v));
    else if (name === "selected" || name === "checked" || name === "value") element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
  return element;
}
