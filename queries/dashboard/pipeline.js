// The pipeline as a picture: every component and every hop is a button, which shows all there is to know of it.

import { drawn, element, found, keep, prose, say, setState, state } from "./element.js";
import { causes } from "./verdict.js";
import { age, clock, count, figure, rate, seconds } from "./words.js";

//: In the order the data goes, which is also the order of the keyboard. `area` is its place in the picture.
const PLACES = [
  { kind: "component", name: "writer", title: "Writer", area: "writer" },
  { kind: "line", area: "sql" },
  { kind: "component", name: "postgres", title: "PostgreSQL", area: "postgres" },
  { kind: "hop", name: "capture", title: "Capture", area: "capture" },
  { kind: "component", name: "connect", title: "Connect", area: "connect" },
  { kind: "hop", name: "transport", title: "Transport", area: "transport" },
  { kind: "component", name: "kafka", title: "Kafka", area: "kafka" },
  { kind: "fork", area: "fork" },
  { kind: "component", name: "projector-serving", title: "Projector", of: "serving", area: "projector-serving" },
  { kind: "hop", name: "serving", title: "Serving", area: "hop-serving" },
  { kind: "store", name: "serving", title: "Serving store", of: "PostgreSQL", area: "store-serving" },
  { kind: "component", name: "projector-analytics", title: "Projector", of: "analytics", area: "projector-analytics" },
  { kind: "hop", name: "analytics", title: "Analytics", area: "hop-analytics" },
  { kind: "store", name: "analytics", title: "Analytics store", of: "DuckDB", area: "store-analytics" },
  { kind: "join", area: "join" },
  { kind: "component", name: "queries", title: "Queries", area: "queries" },
];

let last = null;
let chosen = null; // by whoever looks; until then the first thing that is wrong is shown
let selected = "hop serving";

const keyOf = ({ kind, name }) => `${kind} ${name}`;

function partOf(look, { kind, name }) {
  const hop = look.hops.find((each) => each.name === name);
  if (kind === "component") return look.components.find((each) => each.name === name);
  if (kind === "hop" || hop == null) return hop;
  const models = look.models.filter((model) => model.store === name);
  return { ...hop, models: models.length, rows: models.reduce((sum, model) => sum + model.rows, 0), as_of: models[0]?.as_of };
}

function draw() {
  const parts = PLACES.map((place) => {
    const style = `area-${place.area}`;
    if (place.kind === "line") return element("span", { class: `line ${style}`, "aria-hidden": "true" });
    if (place.kind === "fork" || place.kind === "join") return bend(place.kind, style);
    return element(
      "button",
      { type: "button", class: `${place.kind === "hop" ? "hop" : `node ${place.kind}`} ${style}`, "data-part": keyOf(place), "aria-controls": "details", onclick: () => select(keyOf(place)) },
      element("span", { class: "title" }, place.title, place.of ? element("span", { class: "of" }, place.of) : null),
      element("span", { class: "how" }, state("unknown")),
      element("span", { class: "figure" }),
      element("span", { class: "figure" }),
    );
  });
  found("picture").replaceChildren(...parts);
  found("pipeline").hidden = false;
}

function bend(kind, style) {
  const paths = kind === "fork" ? ["M0 50 C60 50 40 25 100 25", "M0 50 C60 50 40 75 100 75"] : ["M0 25 C60 25 40 50 100 50", "M0 75 C60 75 40 50 100 50"];
  return drawn(
    "svg",
    { class: `bend ${style}`, viewBox: "0 0 100 100", preserveAspectRatio: "none", "aria-hidden": "true" },
    ...paths.map((d) => drawn("path", { d, "vector-effect": "non-scaling-stroke" })),
  );
}

/** The two lines of figures that stand in the picture. */
function inShort(place, part) {
  if (place.kind === "hop") {
    const wal = part.figures?.unconfirmed_bytes;
    const behind = part.lag_changes != null ? `${count(part.lag_changes)} behind` : wal != null ? `${figure("_bytes", wal)[1]} to go` : "";
    const lines = [[part.rate == null ? null : rate(part.rate), part.lag_seconds == null ? null : seconds(part.lag_seconds)].filter(Boolean).join(" · "), behind];
    return lines[0] ? lines : lines.reverse();
  }
  if (place.kind === "store") return [part.models ? `${count(part.rows)} rows` : "", part.as_of ? clock(new Date(part.as_of)) : ""];
  return [part.restarts ? `${part.restarts} restart${part.restarts === 1 ? "" : "s"}` : "", ""];
}

export function showPipeline(look) {
  last = look;
  for (const place of PLACES.filter(({ name }) => name)) {
    const button = found("picture").querySelector(`[data-part="${keyOf(place)}"]`);
    const part = partOf(look, place) ?? { state: "unknown" };
    button.dataset.of = part.state;
    setState(button.children[1], part.state);
    inShort(place, part).forEach((text, line) => say(button.children[2 + line], text));
  }
  const [wrong] = causes(look);
  selected = chosen ?? (wrong ? `${look.hops.includes(wrong) ? "hop" : "component"} ${wrong.name}` : "hop serving");
  showDetails();
}

function select(key) {
  chosen = selected = key;
  showDetails();
}

const HOPS = { capture: "from PostgreSQL's WAL to Connect", transport: "from Connect into Kafka", serving: "from Kafka into the serving store", analytics: "from Kafka into the analytics store" };

function listed(place, part) {
  const rows = [];
  if (place.kind === "component") {
    if (part.pid != null) rows.push(["process", String(part.pid)]);
    if (part.restarts != null) rows.push(["restarts", count(part.restarts)]);
    if (rows.length === 0) rows.push(["process", "not run by this stack's supervisor"]);
    return rows;
  }
  if (place.kind === "store") {
    rows.push(["read models", count(part.models)], ["rows", count(part.rows)], ["as of", part.as_of ?? "–"]);
    if (part.as_of) rows.push(["age", seconds(age(part.as_of, new Date(last.at ?? Date.now())))]);
  } else {
    rows.push(["rate", rate(part.rate)], ["behind", seconds(part.lag_seconds)], ["changes behind", count(part.lag_changes)]);
  }
  return [...rows, ...Object.entries(part.figures ?? {}).map(([name, value]) => figure(name, value))];
}

const titleOf = ({ kind, title, of }) => (kind === "hop" ? `${title} hop` : of ? `${title}, ${of}` : title);

function showDetails() {
  for (const button of found("picture").querySelectorAll("button")) {
    button.setAttribute("aria-pressed", String(button.dataset.part === selected));
  }
  const place = PLACES.find((each) => keyOf(each) === selected);
  const part = last && partOf(last, place);
  if (!part) return;
  const box = found("details");
  if (box.dataset.shown !== selected) {
    box.dataset.shown = selected;
    box.replaceChildren(
      element("h3", { id: "details-title" }, titleOf(place), element("span", { class: "how" })),
      element("p", { class: "said" }),
      element("dl", {}),
    );
  }
  setState(box.querySelector(".how"), part.state);
  const said = part.why || (place.kind === "hop" ? `The hop ${HOPS[place.name] ?? ""}.` : "Nothing is wrong with it.");
  const paragraph = box.querySelector("p");
  if (paragraph.dataset.said !== said) {
    paragraph.dataset.said = said;
    paragraph.replaceChildren(...prose(said));
  }
  keep(
    box.querySelector("dl"),
    listed(place, part),
    ([name]) => name,
    ([name]) => element("div", {}, element("dt", {}, name), element("dd", {})),
    (row, [, value]) => say(row.children[1], value),
  );
}

// Left and right go along the pipeline, as Tab does.
found("picture").addEventListener("keydown", (event) => {
  const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
  if (!step) return;
  const buttons = [...found("picture").querySelectorAll("button")];
  buttons[buttons.indexOf(document.activeElement) + step]?.focus();
  event.preventDefault();
});

draw();
