// What there is to say of the whole, and, when it is not well, why and what to do.

import { element, found, prose, say, state } from "./element.js";
import { clock, milliseconds, plural } from "./words.js";

const WORSE = { down: 0, degraded: 1 };

/** Everything that is not well, what to look at first in front: processes before hops, what is down before the rest. */
export function causes(look) {
  const parts = [...look.components, ...look.hops];
  return parts.filter((part) => part.state in WORSE).sort((one, other) => WORSE[one.state] - WORSE[other.state]);
}

export function showVerdict(look) {
  const wrong = causes(look);
  const worst = look.state;
  document.body.dataset.state = worst;
  const names = wrong.filter((part) => part.state === worst).map((part) => part.name);
  put(
    worst === "ok" ? "Everything is in order." : `${worst === "down" ? "Down" : "Degraded"}: ${inShort(names)}.`,
    freshnessOf(look),
  );
  document.title = worst === "ok" ? "readside" : `${worst}: ${inShort(names)} · readside`;
  explain(wrong.map(({ name, state: of, why }) => ({ name, of, why })));
}

const inShort = (names) => (names.length > 2 ? `${names[0]} and ${names.length - 1} more` : names.join(", "));

/** Nobody answers: what is shown is what was. */
export function showLost(since) {
  const at = clock(new Date(since));
  document.body.dataset.state = "lost";
  put("The query server does not answer.", `What is shown below is from ${at}.`);
  document.title = "no answer · readside";
  explain([
    {
      name: "query server",
      of: "down",
      why: `has not answered this page since ${at}; see queries.log, or ./readside up; this page goes on asking`,
    },
  ]);
}

function put(words, more) {
  say(found("verdict"), words);
  say(found("verdict-more"), more);
  say(found("announce"), words);
}

function freshnessOf({ freshness }) {
  const { p50_ms, changes, pulses, clock_ahead_ms } = freshness ?? {};
  if (p50_ms == null) return "No commit was heard in the last minute.";
  const heard = `${plural(changes, "commit")} and ${plural(pulses, "pulse")} in the last minute`;
  const off = clock_ahead_ms > 0 ? ` The source's clock is ${milliseconds(clock_ahead_ms)} ahead of this server's.` : "";
  return `A commit is readable ${milliseconds(p50_ms)} later, as the median of ${heard}.${off}`;
}

let explained = "";

function explain(wrong) {
  const now = JSON.stringify(wrong);
  if (now === explained) return; // a selection in it, or a place scrolled to, stays
  explained = now;
  if (wrong.length === 0) {
    found("why").replaceChildren(element("p", { class: "muted" }, "Nothing to do: every component answers and nothing is behind."));
    return;
  }
  const items = wrong.map(({ name, of, why }) => {
    const [cause, ...remedies] = (why || "says nothing of why; see its log, or ./readside doctor").split("; ");
    return element(
      "li",
      {},
      state(of),
      element("strong", {}, ` ${name} `),
      ...prose(cause),
      remedies.length ? element("span", { class: "remedy" }, ...prose(remedies.join("; "))) : null,
    );
  });
  found("why").replaceChildren(element("ol", {}, ...items));
}
