// What the page is made of. Every text is set as text: nothing here makes markup of what it is given.

/** An element with attributes and children; a text is a child like any other, and null is none. */
export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [attribute, value] of Object.entries(attributes)) {
    if (attribute.startsWith("on")) made.addEventListener(attribute.slice(2), value);
    else if (value === true) made.setAttribute(attribute, "");
    else if (value !== false && value != null) made.setAttribute(attribute, value);
  }
  made.append(...children.filter((child) => child != null));
  return made;
}

/** The same for SVG. */
export function drawn(name, attributes = {}, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [attribute, value] of Object.entries(attributes)) made.setAttribute(attribute, value);
  made.append(...children);
  return made;
}

export const found = (id) => document.getElementById(id);

/** Set a text, unless it is there already: what did not change is not touched, nor announced. */
export function say(where, text) {
  if (where.textContent !== text) where.textContent = text;
}

/** Bring rows in line with items, in their order: an item keeps its row as long as it keeps its key. */
export function keep(parent, items, keyOf, make, update) {
  const there = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  items.forEach((item, place) => {
    const key = keyOf(item);
    let row = there.get(key);
    if (row) there.delete(key);
    else {
      row = make(item);
      row.dataset.key = key;
    }
    update(row, item);
    if (parent.children[place] !== row) parent.insertBefore(row, parent.children[place] ?? null);
  });
  for (const row of there.values()) row.remove();
}

const CODE = /`([^`]+)`|(\.\/readside [a-z-]+|\b[a-z][a-z-]*\.log\b|\bREADSIDE_[A-Z_]+\b)/g;

/** A text whose commands, files and settings stand in code. */
export function prose(text) {
  const parts = [];
  let end = 0;
  for (const match of text.matchAll(CODE)) {
    parts.push(text.slice(end, match.index), element("code", {}, match[1] ?? match[2]));
    end = match.index + match[0].length;
  }
  return [...parts, text.slice(end)];
}

const GLYPHS = { ok: "●", degraded: "▲", down: "■", unknown: "○" };

/** A state as a sign and a word: its colour alone never tells. */
export function state(of) {
  return element("span", { class: `state ${of}` }, element("span", { "aria-hidden": "true" }, GLYPHS[of] ?? "○"), ` ${of}`);
}

/** The same in place. */
export function setState(where, of) {
  if (where.dataset.state === of) return;
  where.dataset.state = of;
  where.replaceChildren(state(of));
}
