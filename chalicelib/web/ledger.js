// The runs, newest first, a page at a time: all, or those with one status. Both are part of the address.
// Updates while one of the runs shown is running.

import { element, fill, isSelected } from "./dom.js";
import { STATUSES } from "./kinds.js";
import { pollAnswers } from "./poll.js";
import { backTo, listAt, remember } from "./rows.js";
import { noRuns, runsTable } from "./runs.js";
import { empty, failure, loading } from "./states.js";

const SHOWN = 50;
const BUSY_SECONDS = 2;

export function ledger(place, signal, search = "") {
  const { cursor = "", status = "" } = Object.fromEntries(new URLSearchParams(search));
  const list = element("div", { click: remember }, loading("the runs"));
  fill(
    place,
    element("p", { class: "back" }, element("a", { href: "#/" }, "Pipeline")),
    element("h1", { tabindex: -1 }, "Runs"),
    element("p", { class: "lead" }, "Each run in the ledger, with the outcome of its records."),
    element("nav", { class: "pages", "aria-label": "Statuses" }, ["", ...STATUSES].map((one) => element("a", { href: to({ status: one }), "aria-current": one === status && "page" }, one || "all"))),
    element("section", { class: "card", "aria-label": "Runs" }, list),
  );
  let isFirst = true;
  const refuse = (error) => fill(list, failure(error));
  pollAnswers("runs", { query: { limit: SHOWN, status, cursor }, signal }, (data) => {
    if (!isFirst && (isSelected(list) || list.contains(document.activeElement))) return BUSY_SECONDS; // not while it is in use
    const across = list.querySelector(".scroll")?.scrollLeft ?? 0;
    fill(list, drawn(data, status, cursor)).firstChild.scrollLeft = across;
    if (isFirst) backTo(list);
    isFirst = false;
    return data.items.some((run) => run.status === "running") ? BUSY_SECONDS : undefined;
  }, refuse, BUSY_SECONDS);
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
