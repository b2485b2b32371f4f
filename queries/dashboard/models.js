// The read models of both stores: what each holds, how old it is, and how far a rebuild has come.

import { element, found, keep, say } from "./element.js";
import { age, count, rate, seconds } from "./words.js";

export function showModels(look) {
  const now = new Date(look.at ?? Date.now());
  const late = Object.fromEntries(look.hops.map((hop) => [hop.name, hop.lag_seconds]));
  keep(
    found("models-rows"),
    look.models,
    ({ store, name }) => `${store} ${name}`,
    ({ store, name }) =>
      element(
        "tr",
        {},
        element("th", { scope: "row" }, name),
        element("td", {}, store),
        ...["number", "number", "", "number", ""].map((style) => element("td", { class: style })),
      ),
    (row, model) => {
      const [, , rows, version, asOf, behind, complete] = row.children;
      say(rows, count(model.rows));
      say(version, model.version == null ? "–" : String(model.version));
      say(asOf, model.as_of == null ? "–" : `${seconds(age(model.as_of, now))} ago`);
      if (model.as_of) asOf.title = model.as_of;
      say(behind, seconds(late[model.store]));
      if (model.rebuild) showRebuild(complete, model.rebuild);
      else say(complete, model.incomplete ?? "yes");
      complete.classList.toggle("warn", model.incomplete != null);
    },
  );
}

function showRebuild(where, { state, done, total, rate: pace, eta_seconds: left }) {
  if (!where.querySelector("progress")) {
    where.replaceChildren(element("progress", { "aria-label": "Rebuilt so far" }), element("span", {}));
  }
  const [bar, words] = where.children;
  if (total) {
    bar.max = total;
    bar.value = done ?? 0;
  } else bar.removeAttribute("value");
  const parts = [state, total ? `${count(done)} of ${count(total)}` : null, pace ? rate(pace) : null, left != null ? `${seconds(left)} left` : null];
  say(words, ` ${parts.filter(Boolean).join(", ")}`);
}
