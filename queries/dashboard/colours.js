// The stylesheet's colours as a canvas needs them, in the scheme that is shown now.

import { element } from "./element.js";

const NAMES = ["ink", "muted", "line", "panel", "one", "two", "three", "ok", "warn", "bad"];
let known = null;

export function colours() {
  if (known) return known;
  const probe = element("span", { hidden: true });
  document.body.append(probe);
  known = Object.fromEntries(
    NAMES.map((name) => {
      probe.className = `colour-${name}`;
      return [name, getComputedStyle(probe).color];
    }),
  );
  probe.remove();
  return known;
}

document.addEventListener("scheme", () => {
  known = null;
});
