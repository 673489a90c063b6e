// The current state: a headline, and the main figures.

import { element, fill } from "./dom.js";
import { STATUS_MEANS } from "./kinds.js";
import { age, counted, number, share } from "./words.js";

const HEADLINES = {
  ok: ["Everything works.", "Postgres and Redis are available."],
  degraded: ["Redis is unavailable.", "Until it is back, everything comes from Postgres, a little slower. Nothing is lost."],
  down: ["Postgres is unavailable.", "Until it is back, only people cached in Redis can be read. Nothing is lost."],
  silent: ["Decant does not answer.", "The server or the network is unavailable. This page keeps trying."],
};
const ENDED_BADLY = {
  partial: "The last run is partial.",
  failed: "The last run failed.",
  lost: "The last run was lost.",
};

/** The top of the view; `update` takes whichever of `{ health, stats, runs }` has changed. */
export function nowPart() {
  const title = element("h1", { tabindex: -1 }, "Loading …");
  const text = element("p", { class: "lead" });
  const figures = element("dl", { class: "figures" });
  const known = {};
  const update = (news) => {
    Object.assign(known, news);
    const [headline, ...lines] = summary(known);
    title.textContent = headline;
    fill(text, lines);
    fill(figures, figure("People stored", people(known)), figure("Last successful run", lastGood(known)), figure("Rejected", rejected(known)), figure("Found in Redis", hits(known)));
  };
  return { node: element("section", { class: "now" }, title, text, figures), update };
}

/** A headline and its explanation: about the servers first, then about the newest run that asked the source. */
function summary({ health, runs }) {
  if (health === undefined) return ["Loading …"];
  const status = health?.status ?? "silent";
  if (status !== "ok" || !runs) return HEADLINES[status];
  const newest = runs.find((run) => run.status !== "skipped" && run.trigger !== "replay");
  if (!newest) return ["Ready.", "Postgres and Redis are available. The first run loads the people."];
  if (newest.status === "running") return ["A run is in progress.", HEADLINES.ok[1]];
  if (!(newest.status in ENDED_BADLY)) return HEADLINES.ok;
  const why = `${newest.error ?? STATUS_MEANS[newest.status]}. `;
  return [ENDED_BADLY[newest.status], why, element("a", { href: `#/runs/${newest.run_id}` }, "View the run")];
}

function figure(name, [value, note]) {
  return element("div", {}, element("dt", {}, name), element("dd", {}, element("strong", {}, value), element("span", {}, note)));
}

function people({ stats }) {
  return stats ? [number(stats.total), "without names, addresses or numbers"] : ["–", "not available"];
}

function lastGood({ health }) {
  const seconds = health?.last_success_age_seconds;
  if (!health?.postgres.ok) return ["–", "not available"];
  return seconds === null ? ["never", "no run has succeeded yet"] : [age(seconds), "since it ended"];
}

function rejected({ runs }) {
  if (!runs) return ["–", "not available"];
  const sum = (name) => runs.reduce((all, run) => all + run[name], 0);
  return [number(sum("rejected")), `of ${counted(sum("fetched"), "record", "records")} in ${runs.length < 2 ? counted(runs.length, "run", "runs") : `the last ${runs.length} runs`}`];
}

function hits({ health }) {
  if (!health) return ["–", "not available"];
  const { hits: found, misses } = health.cache;
  return found + misses ? [share(found, found + misses), `of ${counted(found + misses, "read", "reads")} since this server started`] : ["–", "no person has been read yet"];
}
