// A chart of an answer, where its first column is a time, a number or a category, and others are numbers.

import { colours } from "./colours.js";
import { element } from "./element.js";

const MOST_POINTS = 20_000;
const MOST_CATEGORIES = 60;
const MOST_LINES = 3;
const LINES = ["one", "two", "three"];
const NUMBER = /^[+-]?\d+(\.\d+)?([eE][+-]?\d+)?$/;
const TIME = /^\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}(:?\d{2})?)?)?$/;

const isNumber = (value) => typeof value === "number" || (typeof value === "string" && NUMBER.test(value));
const isTime = (value) => typeof value === "string" && TIME.test(value);
const every = (rows, column, is) => rows.some((row) => row[column] != null) && rows.every((row) => row[column] == null || is(row[column]));

/** How an answer can be drawn; null where it cannot. */
export function chartOf({ columns, rows }) {
  if (rows.length < 2 || rows.length > MOST_POINTS || columns.length < 2) return null;
  const lines = columns.map((_, column) => column).slice(1).filter((column) => every(rows, column, isNumber)).slice(0, MOST_LINES);
  if (lines.length === 0 || rows.some((row) => row[0] == null)) return null;
  const kind = every(rows, 0, isTime) ? "time" : every(rows, 0, isNumber) ? "number" : rows.length <= MOST_CATEGORIES ? "category" : null;
  return kind && { kind, lines };
}

function valuesOf({ rows }, { kind, lines }) {
  const place = { time: (value) => Date.parse(value.length > 10 && !/(Z|[+-]\d{2}(:?\d{2})?)$/.test(value) ? `${value}Z` : value) / 1000, number: Number };
  const points = rows.map((row, index) => [kind === "category" ? index : place[kind](row[0]), ...lines.map((column) => (row[column] == null ? null : Number(row[column])))]);
  if (kind !== "category") points.sort((one, other) => one[0] - other[0]);
  return points[0].map((_, column) => points.map((point) => point[column]));
}

const MONTH = 30 * 86_400;
const written = (options) => (tick) => new Date(tick * 1000).toLocaleString("en-GB", { timeZone: "UTC", ...options });
const DATES = [
  [MONTH, written({ month: "short", year: "numeric" })],
  [86_400, written({ day: "numeric", month: "short" })],
  [60, written({ hour: "2-digit", minute: "2-digit" })],
  [0, written({ minute: "2-digit", second: "2-digit" })],
];

/** Draw it into a box, each column with a scale of its own; returns the plots, which whoever asked for them destroys. */
export function drawChart(box, answer, chart) {
  const values = valuesOf(answer, chart);
  const figures = chart.lines.map((column) => element("figure", {}, element("figcaption", {}, element("strong", {}, answer.columns[column]), element("span", { class: "muted" }, ` by ${answer.columns[0]}`)), element("div", { class: "canvas" })));
  box.replaceChildren(...figures);
  return figures.map((figure, line) => {
    const canvas = figure.lastChild;
    return new uPlot(optionsOf(canvas, answer, chart, line), [values[0], values[line + 1]], canvas);
  });
}

function optionsOf(canvas, { columns, rows }, { kind, lines }, line) {
  const colour = () => colours()[LINES[line]];
  const axis = { stroke: () => colours().muted, grid: { stroke: () => colours().line, width: 1 }, ticks: { show: false }, font: "11px system-ui, sans-serif" };
  const across = { ...axis, size: 26, space: 70 };
  if (kind === "category") {
    across.splits = () => rows.map((_, index) => index);
    across.values = (plot) => rows.map(([name], index) => (index % Math.ceil(rows.length / (plot.width / 90)) ? "" : String(name).slice(0, 14)));
    across.grid = { show: false };
  } else if (kind === "time") {
    across.values = (_, ticks, __, ___, step) => ticks.map(DATES.find(([from]) => step >= from)[1]);
  }
  const bars = kind === "category" ? { paths: uPlot.paths.bars({ size: [0.6, 80] }), fill: colour } : {};
  return {
    width: canvas.clientWidth,
    height: canvas.clientHeight,
    tzDate: (stamp) => uPlot.tzDate(new Date(stamp * 1000), "Etc/UTC"),
    legend: { show: false },
    cursor: { drag: { x: kind !== "category", y: false } },
    scales: {
      x: { time: kind === "time", ...(kind === "category" ? { range: [-0.6, rows.length - 0.4] } : {}) },
      y: { range: (_, least, most) => [Math.min(0, least ?? 0), Math.max(0, most ?? 1) * 1.08 || 1] },
    },
    axes: [across, { ...axis, size: 70 }],
    series: [{}, { label: columns[lines[line]], stroke: colour, width: 1.75, points: { show: kind !== "category" && rows.length < 60, size: 5 }, ...bars }],
  };
}
