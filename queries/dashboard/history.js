// The last hour: what the server kept, and what came since. One chart a question, and a strip of states.

import { colours } from "./colours.js";
import { drawn, element, found, say } from "./element.js";
import { bytes, milliseconds, rate, seconds } from "./words.js";

const KEPT_S = 3600;
const LEAST_S = 120; // that is shown of it, however little there is
const GAP_S = 15; // nobody looked for so long: no line is drawn over it

const CHARTS = [
  { title: "Freshness", of: milliseconds, lines: [["median", "freshness.p50_ms"], ["p99", "freshness.p99_ms"]] },
  { title: "Behind", of: seconds, lines: [["serving", "serving.lag_seconds"], ["analytics", "analytics.lag_seconds"]] },
  { title: "Changes", of: rate, lines: [["Kafka", "transport.rate"], ["serving", "serving.rate"], ["analytics", "analytics.rate"]] },
  { title: "WAL retained by the slot", of: bytes, lines: [["retained", "capture.retained_bytes"]] },
];
const STRIPS = ["capture", "transport", "serving", "analytics"];
const LINES = ["one", "two", "three"];
const POWERS = Array.from({ length: 50 }, (_, power) => 2 ** power); // so that bytes are counted in whole units
const NAMES = [...CHARTS.flatMap(({ lines }) => lines.map(([, name]) => name)), ...STRIPS.map((hop) => `${hop}.state`)];

let at = [];
let series = Object.fromEntries(NAMES.map((name) => [name, []]));
const charts = [];

export function setHistory(history) {
  at = history.at;
  series = Object.fromEntries(NAMES.map((name) => [name, history.series[name] ?? history.at.map(() => null)]));
  redraw();
}

export function addLook(look) {
  const now = new Date(look.at ?? Date.now()) / 1000;
  const figures = { "freshness.p50_ms": look.freshness?.p50_ms, "freshness.p99_ms": look.freshness?.p99_ms };
  for (const hop of look.hops) {
    for (const name of ["rate", "lag_seconds", "state"]) figures[`${hop.name}.${name}`] = hop[name];
    figures[`${hop.name}.retained_bytes`] = hop.figures.retained_bytes;
  }
  if (at.length && now <= at.at(-1)) return;
  if (at.length && now - at.at(-1) > GAP_S) push(at.at(-1) + 1, {});
  push(now, figures);
  let old = 0;
  while (at[old] < now - KEPT_S) old += 1;
  if (old) {
    at = at.slice(old);
    for (const name of NAMES) series[name] = series[name].slice(old);
  }
  redraw();
}

function push(when, figures) {
  at.push(when);
  for (const name of NAMES) series[name].push(figures[name] ?? null);
}

/** Make the charts; they need a place that is laid out. */
export function showHistory() {
  found("charts").append(strips());
  for (const chart of CHARTS) {
    const box = element("div", { class: "canvas" });
    const said = element("span", { class: "muted" });
    const legend = chart.lines.map(([label], line) => element("span", { class: `legend colour-${LINES[line]}` }, label));
    const caption = element("figcaption", {}, element("strong", {}, chart.title), said, element("span", { class: "legends" }, ...legend));
    found("charts").append(element("figure", {}, caption, box));
    charts.push({ ...chart, said, plot: new uPlot(options(chart, box), dataOf(chart), box), box });
  }
  const resized = new ResizeObserver(() => charts.forEach(({ plot, box }) => plot.setSize({ width: box.clientWidth, height: box.clientHeight })));
  charts.forEach(({ box }) => resized.observe(box));
  redraw();
}

/** Where the charts begin: an hour ago, or where the history does, so that what there is fills them. */
function begin() {
  const now = Date.now() / 1000;
  return Math.max(now - KEPT_S, Math.min(at[0] ?? now, now - LEAST_S));
}

const dataOf = ({ lines }) => [at, ...lines.map(([, name]) => series[name])];

function options(chart, box) {
  const axis = { stroke: () => colours().muted, grid: { stroke: () => colours().line, width: 1 }, ticks: { show: false }, font: "11px system-ui, sans-serif" };
  return {
    width: box.clientWidth,
    height: box.clientHeight,
    legend: { show: false },
    cursor: { sync: { key: "history" }, points: { size: 6 }, drag: { x: false, y: false } },
    hooks: { setCursor: [(plot) => tell(chart, plot.cursor.idx)] },
    scales: { x: { range: () => [begin(), Date.now() / 1000] }, y: { range: (_, __, most) => [0, most > 0 ? most * 1.1 : 1] } },
    axes: [
      { ...axis, size: 24, space: 60, values: (_, ticks) => ticks.map((tick) => new Date(tick * 1000).toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" })) },
      { ...axis, size: 62, space: 28, ...(chart.of === bytes ? { incrs: POWERS } : {}), values: (_, ticks) => ticks.map((tick) => chart.of(tick)) },
    ],
    series: [{}, ...chart.lines.map(([label], line) => ({ label, stroke: () => colours()[LINES[line]], width: 1.5, points: { show: false } }))],
  };
}

/** What a chart shows at a moment; without one, now and the most there was. */
function tell(chart, place) {
  const made = charts.find(({ title }) => title === chart.title);
  if (!made) return;
  const columns = chart.lines.map(([label, name]) => [label, series[name]]);
  if (place == null) {
    const most = columns.reduce((seen, [, column]) => column.reduce((worst, value) => Math.max(worst, value ?? 0), seen), 0);
    say(made.said, `most ${chart.of(most)}`);
  } else {
    const when = new Date(at[place] * 1000).toLocaleTimeString("en-GB");
    say(made.said, `${when} · ${columns.map(([, column]) => chart.of(column[place])).join(" · ")}`);
  }
}

function strips() {
  const rows = STRIPS.map((hop) =>
    element("div", { class: "strip" }, element("span", {}, hop), drawn("svg", { viewBox: "0 0 1000 10", preserveAspectRatio: "none", role: "img", "data-hop": hop }), element("span", { class: "muted share" })),
  );
  return element("figure", { class: "strips" }, element("figcaption", {}, element("strong", {}, "States")), ...rows);
}

/** Equal states that follow each other are one rectangle. */
function runs(hop) {
  const column = series[`${hop}.state`];
  const from = begin();
  const found = [];
  column.forEach((state, place) => {
    if (state == null) return;
    const start = Math.max(0, at[place] - from);
    const next = Math.min(at[place + 1] ?? Date.now() / 1000, at[place] + GAP_S) - from;
    const before = found.at(-1);
    if (before && before.state === state && start - before.end < 1) before.end = next;
    else found.push({ state, begin: start, end: next });
  });
  return found;
}

function drawStrips() {
  for (const picture of found("charts").querySelectorAll("svg[data-hop]")) {
    const all = runs(picture.dataset.hop);
    const scale = 1000 / (Date.now() / 1000 - begin());
    const rect = (run) => drawn("rect", { class: `fill-${run.state}`, x: run.begin * scale, width: Math.max(1.5, (run.end - run.begin) * scale), y: 0, height: 10 });
    picture.replaceChildren(...all.map(rect));
    const seen = all.reduce((sum, { begin, end }) => sum + end - begin, 0);
    const well = all.filter(({ state }) => state === "ok").reduce((sum, { begin, end }) => sum + end - begin, 0);
    const share = seen ? `${(Math.floor((well / seen) * 1000) / 10).toFixed(1)} % ok` : "not seen";
    say(picture.nextSibling, share);
    picture.setAttribute("aria-label", `${picture.dataset.hop}: ${share} of the last hour, as far as it was seen`);
  }
}

function redraw() {
  if (document.hidden || found("overview").hidden) return;
  for (const chart of charts) {
    chart.plot.setData(dataOf(chart));
    tell(chart, chart.plot.cursor.idx);
  }
  drawStrips();
}

document.addEventListener("scheme", () => charts.forEach(({ plot }) => plot.redraw()));
