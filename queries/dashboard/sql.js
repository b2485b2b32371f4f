// The SQL page: a statement, its address to share, and its answer as a table, a chart or a file.

import { chartOf, drawChart } from "./chart.js";
import { csv } from "./csv.js";
import { element, found, say } from "./element.js";
import { ask, Refused } from "./stream.js";
import { count, plural, seconds } from "./words.js";

const FIRST = "select status, count(*) as orders, sum(total) as total\n  from orders\n group by status\n order by orders desc";
const CATALOGUE = "select table_name, column_name, data_type from information_schema.columns where table_schema = 'main' order by table_name, ordinal_position";
const SHOWN_ROWS = 1_000; // the file has all that came

let running = null;
let answer = null;
let plots = [];
let opened = false;

/** Show the page with the statement of its address. `refused` asks for a token. */
export function openSql(query, refused) {
  const text = found("sql-text");
  const given = query.get("q");
  if (!opened) {
    opened = true;
    text.value = given ?? FIRST;
    catalogue(refused).then(() => given && run(refused));
    found("sql-form").addEventListener("submit", (event) => {
      event.preventDefault();
      if (running) running.abort();
      else run(refused);
    });
    text.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
      event.preventDefault();
      if (!running) run(refused);
    });
  } else if (given != null && given !== text.value) {
    text.value = given;
    run(refused);
  }
}

async function post(sql, refused, options = {}) {
  for (;;) {
    try {
      return await ask("sql", { method: "POST", headers: { "Content-Type": "application/json", Accept: "application/json" }, body: JSON.stringify({ sql }), ...options });
    } catch (error) {
      if (!(error instanceof Refused) || error.status !== 401) throw error;
      await refused(error);
    }
  }
}

async function run(refused) {
  const sql = found("sql-text").value.trim();
  if (!sql) return say(found("sql-said"), "There is no statement yet.");
  history.replaceState(null, "", `#sql?${new URLSearchParams({ q: sql })}`);
  running = new AbortController();
  say(found("sql-run"), "Stop");
  const began = performance.now();
  try {
    const response = await post(sql, refused, { signal: running.signal });
    answer = await response.json();
    said(response.headers, (performance.now() - began) / 1000);
    show();
  } catch (error) {
    answer = null;
    show();
    found("sql-said").classList.add("bad");
    const refusal = error instanceof Refused ? error.message : error.name === "AbortError" ? "Stopped." : "The query server does not answer.";
    say(found("sql-said"), refusal);
  } finally {
    running = null;
    say(found("sql-run"), "Run");
  }
}

function said(headers, took) {
  const rows = answer.rows.length;
  const parts = [
    `${plural(rows, "row")}${answer.truncated ? ", cut off there: there are more" : ""}`,
    rows > SHOWN_ROWS ? `the first ${count(SHOWN_ROWS)} shown` : null,
    headers.get("Readside-As-Of") ? `as of ${headers.get("Readside-As-Of").slice(0, 23).replace("T", " ")} UTC` : null,
    headers.get("Readside-Lag-Ms") ? `${seconds(Number(headers.get("Readside-Lag-Ms")) / 1000)} old` : null,
    headers.get("Readside-Incomplete") ? `incomplete: ${headers.get("Readside-Incomplete")}` : null,
    `took ${seconds(took)}`,
  ];
  found("sql-said").classList.remove("bad");
  say(found("sql-said"), parts.filter(Boolean).join(" · "));
}

function show() {
  const box = found("sql-answer");
  const chart = answer && chartOf(answer);
  found("sql-csv").disabled = !answer;
  found("sql-shape").disabled = !chart;
  box.hidden = !answer;
  box.replaceChildren(...(answer ? [table()] : []));
  if (found("sql-chart").hidden || !chart) hideChart();
  else showChart();
}

function table() {
  const numeric = answer.columns.map((_, column) => answer.rows.every((row) => row[column] == null || typeof row[column] === "number" || /^-?\d+(\.\d+)?$/.test(row[column])));
  const cell = (value, column) => element("td", { class: value == null ? "nothing" : numeric[column] ? "number" : "" }, value == null ? "null" : typeof value === "object" ? JSON.stringify(value) : String(value));
  return element(
    "table",
    { class: "answered" },
    element("thead", {}, element("tr", {}, ...answer.columns.map((name, column) => element("th", { scope: "col", class: numeric[column] ? "number" : "" }, name)))),
    element("tbody", {}, ...answer.rows.slice(0, SHOWN_ROWS).map((row) => element("tr", {}, ...row.map(cell)))),
  );
}

function showChart() {
  hideChart();
  found("sql-chart").hidden = false;
  say(found("sql-shape"), "Hide chart");
  plots = drawChart(found("sql-chart"), answer, chartOf(answer));
}

function hideChart() {
  for (const plot of plots) plot.destroy();
  plots = [];
  found("sql-chart").hidden = true;
  found("sql-chart").replaceChildren();
  say(found("sql-shape"), "Chart");
}

/** The tables there are, each with its columns; without them the page works as well. */
async function catalogue(refused) {
  let columns;
  try {
    columns = (await (await post(CATALOGUE, refused)).json()).rows;
  } catch {
    return;
  }
  const tables = Map.groupBy(columns, ([table]) => table);
  const insert = (name) => {
    const text = found("sql-text");
    text.setRangeText(name, text.selectionStart, text.selectionEnd, "end");
    text.focus();
  };
  const lists = [...tables].map(([name, of]) =>
    element(
      "details",
      {},
      element("summary", {}, name),
      element("ul", {}, ...of.map(([, column, type]) => element("li", {}, element("button", { type: "button", class: "quiet", onclick: () => insert(column) }, column), element("span", { class: "muted" }, ` ${type.toLowerCase()}`)))),
    ),
  );
  found("sql-tables").replaceChildren(element("h2", {}, "Tables"), ...lists);
}

found("sql-shape").addEventListener("click", () => (plots.length ? hideChart() : showChart()));
found("sql-share").addEventListener("click", async () => {
  const address = new URL(`#sql?${new URLSearchParams({ q: found("sql-text").value.trim() })}`, location.href);
  history.replaceState(null, "", address);
  try {
    await navigator.clipboard.writeText(address.href);
    say(found("sql-share"), "Copied");
  } catch {
    say(found("sql-share"), "It is in the address bar");
  }
  setTimeout(() => say(found("sql-share"), "Copy link"), 2_000);
});
found("sql-csv").addEventListener("click", () => {
  const file = URL.createObjectURL(new Blob([csv(answer.columns, answer.rows)], { type: "text/csv" }));
  element("a", { href: file, download: "answer.csv" }).click();
  setTimeout(() => URL.revokeObjectURL(file), 10_000);
});
document.addEventListener("scheme", () => plots.forEach((plot) => plot.redraw()));
new ResizeObserver(() => {
  for (const plot of plots) plot.setSize({ width: plot.root.parentNode.clientWidth, height: plot.height });
}).observe(found("sql-chart"));
