// Picks the view for the address. Addresses are fragments, so the page works under any path prefix.

import { ledger } from "./ledger.js";
import { people } from "./people.js";
import { personView } from "./person.js";
import { pipeline } from "./pipeline.js";
import { privacy } from "./privacy.js";
import { runView } from "./run.js";

const UUID = "([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})";
const VIEWS = [
  { at: /^#\/$/, title: "Pipeline", part: "#/", view: pipeline },
  { at: /^#\/runs(?:\?(.*))?$/, title: "Runs", part: "#/", view: ledger },
  { at: new RegExp(`^#/runs/${UUID}$`), title: "Run", part: "#/", view: runView },
  { at: /^#\/people(?:\?(.*))?$/, title: "People", part: "#/people", view: people },
  { at: new RegExp(`^#/people/${UUID}$`), title: "Person", part: "#/people", view: personView },
  { at: /^#\/privacy$/, title: "Privacy", part: "#/privacy", view: privacy },
];

let leave = new AbortController();

/** Shows the view for the address in place of the previous one, and focuses its heading unless it is the `first`. */
export function route(place, { first = false } = {}) {
  const found = VIEWS.find(({ at }) => at.test(location.hash));
  if (!found) {
    history.replaceState(null, "", "#/");
    return route(place, { first });
  }
  close();
  document.title = `${found.title} · Decant`;
  for (const link of document.querySelectorAll("#nav a")) {
    if (link.getAttribute("href") === found.part) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  found.view(place, leave.signal, ...found.at.exec(location.hash).slice(1));
  if (!first) {
    scrollTo(0, 0);
    place.querySelector("h1").focus({ preventScroll: true });
  }
  return undefined;
}

/** Closes the open view, and aborts its pending requests and timers. */
export function close() {
  leave.abort();
  leave = new AbortController();
}
