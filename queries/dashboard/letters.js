// Dead letters: what is parked, without values, and the button that has it tried again.

import { element, found, keep, say } from "./element.js";
import { ask, Refused } from "./stream.js";
import { count, plural } from "./words.js";

const AGAIN_MS = [700, 2_000, 5_000]; // a projector looks twice a second what is asked of it

let known = null; // how many there were when the list was made
let items = [];

export function showLetters({ dead_letters: many }) {
  const badge = found("letters-count");
  badge.hidden = many === 0;
  say(badge, count(many));
  if (many !== known) {
    known = many;
    list();
  }
}

async function list() {
  try {
    const answer = await (await ask("dead-letters")).json();
    items = answer.items;
    show(answer.silent);
  } catch (error) {
    say(found("letters-said"), `The list cannot be read: ${error.message}`);
  }
}

function show(silent) {
  const some = items.length > 0;
  found("letters-table").hidden = !some;
  found("letters-all").hidden = !some;
  const shown = some
    ? `${plural(known, "change")} parked${known > items.length ? `, the first ${count(items.length)} of them here` : ""}. A retry applies a letter and all that is parked for its row, in order.`
    : "None is parked.";
  say(found("letters-said"), silent.length ? `${shown} The ${silent.join(" and the ")} store does not answer.` : shown);
  keep(
    found("letters-rows"),
    items,
    ({ store, id }) => `${store} ${id}`,
    (letter) =>
      element(
        "tr",
        {},
        element("th", { scope: "row", class: "code" }, letter.id),
        element("td", {}, letter.store),
        element("td", {}, letter.table ?? "–"),
        element("td", { class: "reason" }),
        element("td", { class: "code" }, letter.end_lsn ?? "–"),
        element("td", { class: "number" }, count(letter.bytes)),
        element("td", {}, element("button", { type: "button", "aria-label": `Retry ${letter.id} in ${letter.store}`, onclick: () => retry([letter]) }, "Retry")),
      ),
    (row, letter) => say(row.children[3], letter.reason ?? "–"),
  );
}

async function retry(letters) {
  say(found("letters-said"), `Asking for ${plural(letters.length, "letter")} to be tried again.`);
  try {
    const body = JSON.stringify({ letters: letters.map(({ store, id }) => ({ store, id })) });
    const answer = await ask("dead-letters/retry", { method: "POST", headers: { "Content-Type": "application/json" }, body });
    const { asked, missing } = await answer.json();
    say(found("letters-said"), `${plural(asked.length, "letter")} asked for${missing.length ? `, ${missing.length} not there any more` : ""}; looking what became of it.`);
    for (const ms of AGAIN_MS) setTimeout(list, ms);
  } catch (error) {
    say(found("letters-said"), error instanceof Refused ? `It was refused: ${error.message}` : "The query server does not answer.");
  }
}

found("letters-all").addEventListener("click", () => retry(items));
