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

/** Draw it into a box; returns the plot, which whoever asked for it destroys. */
export function drawChart(box, answer, chart) {
  const names = answer.rows.map((row) => String(row[0]));
  const axis = { stroke: () => colours().muted, grid: { stroke: () => colours().line, width: 1 }, ticks: { show: false }, font: "11px system-ui, sans-serif" };
  const across = { ...axis, space: 70 };
  if (chart.kind === "category") {
    across.splits = () => names.map((_, index) => index);
    across.values = (plot) => names.map((name, index) => (index % Math.ceil(names.length / (plot.width / 90)) ? "" : name.slice(0, 14)));
    across.grid = { show: false };
  }
  const drawnAs = (line) =>
    chart.kind === "category"
      ? { paths: uPlot.paths.bars({ size: [0.7 / chart.lines.length, 60], align: chart.lines.length > 1 ? line - (chart.lines.length - 1) / 2 : 0 }), fill: () => colours()[LINES[line]] }
      : {};
  const canvas = element("div", { class: "canvas" });
  const legend = chart.lines.map((column, line) => element("span", { class: `legend colour-${LINES[line]}` }, answer.columns[column]));
  box.replaceChildren(element("p", { class: "row" }, element("strong", {}, `by ${answer.columns[0]}`), ...legend), canvas);
  return new uPlot(
    {
      width: canvas.clientWidth,
      height: canvas.clientHeight,
      tzDate: (stamp) => uPlot.tzDate(new Date(stamp * 1000), "Etc/UTC"),
      legend: { show: false },
      cursor: { drag: { x: chart.kind !== "category", y: false } },
      scales: {
        x: { time: chart.kind === "time", ...(chart.kind === "category" ? { range: [-0.6, names.length - 0.4] } : {}) },
        y: { range: (_, least, most) => [Math.min(0, least ?? 0), Math.max(0, most ?? 1) * 1.08 || 1] },
      },
      axes: [across, { ...axis, size: 70 }],
      series: [{}, ...chart.lines.map((column, line) => ({ label: answer.columns[column], stroke: () => colours()[LINES[line]], width: 1.75, points: { show: chart.kind !== "category" && answer.rows.length < 60, size: 5 }, ...drawnAs(line) }))],
    },
    valuesOf(answer, chart),
    canvas,
  );
}
