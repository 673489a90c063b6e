// The runs, newest first, a page at a time. The page's cursor is part of the address.

import { ask } from "./api.js";
import { element, fill } from "./dom.js";
import { backTo, remember } from "./rows.js";
import { noRuns, runsTable } from "./runs.js";
import { show } from "./states.js";

const SHOWN = 50;

export function ledger(place, signal, search = "") {
  const cursor = new URLSearchParams(search).get("cursor");
  const list = element("div", { click: remember });
  fill(
    place,
    element("p", { class: "back" }, element("a", { href: "#/" }, "Pipeline")),
    element("h1", { tabindex: -1 }, "Runs"),
    element("p", { class: "lead" }, "Each run in the ledger, with the outcome of its records."),
    element("section", { class: "card", "aria-label": "Runs" }, list),
  );
  const load = () => ask("runs", { query: { limit: SHOWN, ...(cursor ? { cursor } : {}) }, signal });
  show(list, "the runs", load, ({ data }) => drawn(data, cursor)).then(() => backTo(list));
}

function drawn({ items, next }, cursor) {
  if (!items.length) return noRuns();
  return [
    runsTable("Runs, newest first", items),
    element(
      "nav",
      { class: "pages", "aria-label": "Pages of runs" },
      cursor && element("a", { href: "#/runs" }, "Newest runs"),
      next ? element("a", { href: `#/runs?cursor=${next}`, rel: "next", class: "next" }, "Older runs") : cursor && element("span", { class: "fine" }, "No older runs"),
    ),
  ];
}
