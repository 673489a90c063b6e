// The runs, newest first, a page at a time: all, or those with one status. Both are part of the address.

import { ask } from "./api.js";
import { element, fill } from "./dom.js";
import { STATUSES } from "./kinds.js";
import { backTo, listAt, remember } from "./rows.js";
import { noRuns, runsTable } from "./runs.js";
import { empty, show } from "./states.js";

const SHOWN = 50;

export function ledger(place, signal, search = "") {
  const { cursor = "", status = "" } = Object.fromEntries(new URLSearchParams(search));
  const list = element("div", { click: remember });
  fill(
    place,
    element("p", { class: "back" }, element("a", { href: "#/" }, "Pipeline")),
    element("h1", { tabindex: -1 }, "Runs"),
    element("p", { class: "lead" }, "Each run in the ledger, with the outcome of its records."),
    element("nav", { class: "pages", "aria-label": "Statuses" }, ["", ...STATUSES].map((one) => element("a", { href: to({ status: one }), "aria-current": one === status && "page" }, one || "all"))),
    element("section", { class: "card", "aria-label": "Runs" }, list),
  );
  const load = () => ask("runs", { query: { limit: SHOWN, status, cursor }, signal });
  show(list, "the runs", load, ({ data }) => drawn(data, status, cursor)).then(() => backTo(list));
}

const to = (query) => listAt("#/runs", query);

function drawn({ items, next }, status, cursor) {
  if (!items.length) return status ? empty("No such runs", `No run is ${status}.`) : noRuns();
  return [
    runsTable(status ? `Runs that are ${status}, newest first` : "Runs, newest first", items),
    element(
      "nav",
      { class: "pages", "aria-label": "Pages of runs" },
      cursor && element("a", { href: to({ status }) }, "Newest runs"),
      next ? element("a", { href: to({ status, cursor: next }), rel: "next", class: "next" }, "Older runs") : cursor && element("span", { class: "fine" }, "No older runs"),
    ),
  ];
}
