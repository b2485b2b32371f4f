// The page: what is heard goes to its parts, and the address says which of them is shown.

import { found, say } from "./element.js";
import { addLook, setHistory, showHistory } from "./history.js";
import { showLetters } from "./letters.js";
import { showModels } from "./models.js";
import { showPipeline } from "./pipeline.js";
import { openSql } from "./sql.js";
import { follow, token } from "./stream.js";
import { showFigures } from "./figures.js";
import { showLost, showVerdict } from "./verdict.js";
import { clock } from "./words.js";

const SCHEMES = ["auto", "light", "dark"];

function show(look) {
  showVerdict(look);
  showFigures(look);
  showPipeline(look);
  showModels(look);
  showLetters(look);
  addLook(look);
  if (found("later").hidden) {
    found("later").hidden = false; // all at once: what is there already does not move
    showHistory();
    goTo();
  }
}

const LINKS = {
  live: () => "live",
  polled: () => "asked every 5 s",
  lost: (since) => `no answer since ${clock(new Date(since))}`,
};

function link(state, since) {
  const where = found("link");
  where.dataset.link = state;
  say(where, LINKS[state](since));
  if (state === "lost") showLost(since);
}

/** Ask whoever is there for a token; returns when there is one. */
function refused(error) {
  const dialog = found("token");
  say(found("token-why"), token.get() == null ? "This server answers the bearers of tokens; this page takes an operator's, its SQL an analyst's too." : error.message);
  found("token-text").value = "";
  if (!dialog.open) dialog.showModal();
  return new Promise((done) => {
    dialog.addEventListener(
      "close",
      () => {
        const text = found("token-text").value.trim();
        found("token-text").value = "";
        if (text) token.set(text);
        found("sign").hidden = token.get() == null;
        done();
      },
      { once: true },
    );
  });
}

function goTo() {
  const [place, query] = location.hash.slice(1).split("?");
  const sql = place === "sql";
  found("overview").hidden = sql;
  found("sql").hidden = !sql;
  for (const anchor of document.querySelectorAll("nav[aria-label=Views] a")) {
    if (anchor.hash === `#${place || "pipeline"}`) anchor.setAttribute("aria-current", "page");
    else anchor.removeAttribute("aria-current");
  }
  if (sql) openSql(new URLSearchParams(query), refused);
  else if (place === "models" || place === "letters") found(place).scrollIntoView();
  else if (place === "pipeline" || place === "") window.scrollTo(0, 0);
}

function chosenScheme() {
  return document.documentElement.dataset.theme ?? "auto";
}

function setScheme(scheme) {
  if (scheme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = scheme;
  try {
    localStorage.setItem("readside-theme", scheme);
  } catch {
    // It lasts as long as the page then.
  }
  say(found("theme"), `Scheme: ${scheme}`);
  document.dispatchEvent(new Event("scheme"));
}

found("theme").addEventListener("click", () => {
  setScheme(SCHEMES[(SCHEMES.indexOf(chosenScheme()) + 1) % SCHEMES.length]);
});
found("sign").addEventListener("click", () => {
  token.forget();
  location.reload();
});
// A dialog that asks who is there is not to be left without an answer.
found("token").addEventListener("cancel", (event) => event.preventDefault());
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => document.dispatchEvent(new Event("scheme")));
window.addEventListener("hashchange", goTo);

say(found("theme"), `Scheme: ${chosenScheme()}`);
found("sign").hidden = token.get() == null;
goTo();
follow({ history: setHistory, look: show, link, refused });
