// Picks the view for the address. Addresses are fragments, so the page works under any path prefix.

import { element, entitle, fill } from "./dom.js";
import { ledger } from "./ledger.js";
import { people } from "./people.js";
import { personView } from "./person.js";
import { pipeline } from "./pipeline.js";
import { privacy } from "./privacy.js";
import { runView } from "./run.js";

const UUID = /([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})/i;
const VIEWS = [
  { at: /^#\/$/, title: "Pipeline", part: "#/", view: pipeline },
  { at: /^#\/runs\/?(?:\?(.*))?$/i, title: "Runs", part: "#/", view: ledger },
  { at: new RegExp(`^#/runs/${UUID.source}/?$`, "i"), title: "Run", part: "#/", view: runView },
  { at: /^#\/people\/?(?:\?(.*))?$/i, title: "People", part: "#/people", view: people },
  { at: new RegExp(`^#/people/${UUID.source}/?$`, "i"), title: "Person", part: "#/people", view: personView },
  { at: /^#\/privacy\/?$/i, title: "Privacy", part: "#/privacy", view: privacy },
];
const NOWHERE = { at: /^/, title: "No such page", view: nowhere };

let leave = new AbortController();

/** Shows the view for the address in place of the previous one, and focuses its heading unless it is the `first`. */
export function route(place, { first = false } = {}) {
  if (!location.hash) history.replaceState(null, "", "#/");
  const address = location.hash.replace(UUID, (id) => id.toLowerCase());
  const found = VIEWS.find(({ at }) => at.test(address)) ?? NOWHERE;
  close();
  entitle(found.title);
  for (const link of document.querySelectorAll("#nav a")) {
    if (link.getAttribute("href") === found.part) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  found.view(place, leave.signal, ...found.at.exec(address).slice(1));
  if (!first) {
    scrollTo(0, 0);
    place.querySelector("h1").focus({ preventScroll: true });
  }
}

function nowhere(place) {
  fill(place, element("h1", { tabindex: -1 }, "No such page"), element("p", { class: "lead" }, "There is nothing at this address. ", element("a", { href: "#/" }, "Go to the runs")));
}

/** Closes the open view, and aborts its pending requests and timers. */
export function close() {
  leave.abort();
  leave = new AbortController();
}
