// The few figures that say most.

import { element, found, keep, say } from "./element.js";
import { bytes, count, milliseconds, plural, rate, seconds } from "./words.js";

const changes = ({ lag_changes: lag }) => (lag == null ? "changes not known" : plural(lag, "change"));

function figuresOf(look) {
  const hop = (name) => look.hops.find((each) => each.name === name) ?? { figures: {} };
  const { retained_bytes: retained, safe_bytes: safe, time_to_full_s: full } = hop("capture").figures;
  const { p50_ms, p99_ms } = look.freshness ?? {};
  const room = full != null ? `full in ${seconds(full)}` : safe != null ? `${bytes(safe)} left` : "no limit set";
  return [
    { name: "Freshness, median", value: milliseconds(p50_ms), more: "commit → readable" },
    { name: "Freshness, p99", value: milliseconds(p99_ms), more: "over the last minute" },
    { name: "Through Kafka", value: rate(hop("transport").rate), more: "changes" },
    { name: "WAL retained", value: bytes(retained), more: retained == null ? "not known" : room },
    { name: "Behind, serving", value: seconds(hop("serving").lag_seconds), more: changes(hop("serving")) },
    {
      name: "Behind, analytics",
      value: seconds(hop("analytics").lag_seconds),
      more: changes(hop("analytics")),
    },
    { name: "Dead letters", value: count(look.dead_letters), more: look.dead_letters ? "parked" : "none parked" },
  ];
}

export function showFigures(look) {
  keep(
    found("figures"),
    figuresOf(look),
    ({ name }) => name,
    ({ name }) => element("div", {}, element("dt", {}, name), element("dd", {}), element("dd", { class: "muted" })),
    (row, { value, more }) => {
      say(row.children[1], value);
      say(row.children[2], more);
    },
  );
}
