// What a run rejected: counts by rule and path, and positions. Never the values: none is kept.

import { ask } from "./api.js";
import { element } from "./dom.js";
import { replayButton } from "./start.js";
import { show } from "./states.js";
import { table } from "./table.js";
import { counted, number, timestamp } from "./words.js";

const MOST = 1_000;
const SHOWN = 100;

export function rejectsPart(place, run, signal) {
  const title = element("h2", {}, "Rejected records");
  const list = element("div");
  place.append(title, list);
  return show(list, "the rejects", () => ask(`runs/${run.run_id}/rejects`, { query: { limit: MOST }, signal }), ({ data }) => {
    if (data.items.length > run.rejected) title.append(run.rejected ? ", also of pages that were not loaded" : " of pages that were not loaded");
    return drawn(data, run.run_id, signal);
  });
}

function drawn({ items: rejects, next }, runId, signal) {
  if (!rejects.length) return element("p", { class: "fine" }, "No record was rejected.");
  const some = rejects.length > SHOWN ? `the first ${SHOWN} of ${next ? "the first " : ""}` : "";
  return [
    next && element("p", { class: "fine" }, `The counts cover the first ${number(MOST)} rejects.`),
    table("Rejects by rule and path", [
      { title: "Rule", cell: ({ rule }) => rule },
      { title: "Records", cell: ({ count }) => number(count), numeric: true },
      { title: "Path", cell: ({ path }) => element("code", {}, path || "the whole record") },
    ], byRule(rejects)),
    rejects.some(isSealed) && replayButton(runId, signal),
    element("details", { class: "as-table" }, element("summary", {}, `Positions of ${some}${counted(rejects.length, "reject", "rejects")}`), places(rejects.slice(0, SHOWN))),
  ];
}

/** A seal that has expired stays in the ledger until a run removes it. */
const isSealed = ({ sealed_until: until }) => until !== null && Date.parse(until) > Date.now();

function byRule(rejects) {
  const counts = new Map();
  for (const { path, rule } of rejects.flatMap(({ issues }) => issues)) {
    const name = JSON.stringify([path, rule]);
    counts.set(name, { path, rule, count: (counts.get(name)?.count ?? 0) + 1 });
  }
  return [...counts.values()].sort((one, other) => other.count - one.count);
}

function places(rejects) {
  return table("Rejects in source order", [
    { title: "Page", cell: ({ page }) => number(page), numeric: true },
    { title: "Position, from 0", cell: ({ position }) => number(position), numeric: true },
    { title: "Reason", cell: ({ issues }) => issues.map(({ path, rule }) => `${path || "the whole record"}: ${rule}`).join("; ") },
    { title: "Fingerprint", cell: ({ fingerprint }) => element("code", { class: "cut", title: fingerprint }, fingerprint) },
    { title: "Sealed until", cell: ({ sealed_until: until }) => (until ? timestamp(until) : "not sealed") },
    { title: "Replayed", cell: ({ replayed_by: run }) => (run ? element("a", { href: `#/runs/${run}` }, "yes") : "no") },
  ], rejects);
}
