// The current state: a headline, and the main figures.

import { element, refill } from "./dom.js";
import { meaning, wasStopped } from "./kinds.js";
import { explain, isClosed } from "./states.js";
import { age, counted, lately, number, share } from "./words.js";

const HEADLINES = {
  ok: ["Everything works.", "Postgres and Redis are available."],
  degraded: ["Redis is unavailable.", "Until it is back, everything comes from Postgres, a little slower. Nothing is lost."],
  down: ["Postgres is unavailable.", "Until it is back, only people cached in Redis can be read. Nothing is lost."],
  silent: ["Decant does not answer.", "The server or the network is unavailable. This page keeps trying."],
};
const HOUR = 3_600_000;
const ENDED_BADLY = {
  partial: "The last run is partial.",
  failed: "The last run failed.",
  lost: "The last run was lost.",
};

/** The top of the view; `update` takes whichever of `{ health, stats, runs, refusal }` has changed. */
export function nowPart() {
  const title = element("h1", { tabindex: -1 }, "Loading …");
  const text = element("p", { class: "lead" });
  const figures = element("dl", { class: "figures" });
  const known = {};
  let shown = {}; // the last answers with figures
  const update = (news) => {
    Object.assign(known, news);
    const [headline, ...lines] = summary(known);
    refill(title, headline);
    refill(text, lines);
    const isStale = known.refusal || known.health === null || known.health?.postgres.ok === false;
    figures.classList.toggle("stale", Boolean(isStale));
    shown = { ...known, health: known.health?.postgres.ok ? known.health : shown.health };
    refill(figures, figure("People stored", people(shown, isStale)), figure("Last successful run", lastGood(shown)), figure("Rejected", rejected(shown)), figure("Found in Redis", hits(shown)));
  };
  return { node: element("section", { class: "now" }, title, text, figures), update };
}

/** A headline and its explanation: about the servers first, then about the newest run that asked the source. */
function summary({ health, runs, refusal }) {
  if (refusal && isClosed(refusal)) return ["Sign in again.", "This key is no longer valid here, or lacks the scope “read”."];
  if (health === undefined) return ["Loading …"];
  const status = health?.status ?? "silent";
  if (status === "ok" && refusal) return ["The runs cannot be read.", `${refusal.message}.`];
  if (status === "silent" && refusal?.status === 0) {
    const { title, text } = explain(refusal);
    return [`${title}.`, `${text} This page keeps trying.`];
  }
  if (status !== "ok" || !runs) return HEADLINES[status];
  const newest = runs.find((run) => run.status !== "skipped" && run.trigger !== "replay");
  if (!newest) return ["Ready.", "Postgres and Redis are available. The first run loads the people."];
  if (newest.status === "running") return ["A run is in progress.", HEADLINES.ok[1]];
  if (newest.status in ENDED_BADLY) {
    const headline = wasStopped(newest) ? "The last run was stopped." : ENDED_BADLY[newest.status];
    return [headline, `${meaning(newest)}. `, element("a", { href: `#/runs/${newest.run_id}` }, "View the run")];
  }
  if (isOverdue({ health, runs })) return [`No run has succeeded for ${age(sinceSuccess(health))}.`, "Scheduled runs used to come more often. Is the schedule still running?"];
  return HEADLINES.ok;
}

/** Seconds, also since the answer that said so: the last one may be old. */
const sinceSuccess = (health) => health.last_success_age_seconds + (Date.now() - health.at) / 1_000;

/** Whether no run has succeeded for an hour, and for three times as long as scheduled runs were lately apart. */
function isOverdue({ health, runs }) {
  const starts = (runs ?? []).filter((run) => run.trigger === "schedule").slice(0, 11).map((run) => Date.parse(run.started_at));
  const gaps = starts.slice(1).map((start, at) => starts[at] - start);
  return gaps.length >= 3 && sinceSuccess(health) * 1_000 > Math.max(HOUR, 3 * Math.max(...gaps));
}

function figure(name, [value, note, kind]) {
  return element("div", {}, element("dt", {}, name), element("dd", {}, element("strong", { class: kind }, value), element("span", {}, note)));
}

/** The statistics are cached, so they may be older than a run's end. */
function people({ stats, runs }, isStale) {
  if (!stats) return ["–", "not available"];
  const isOlder = runs?.some((run) => Date.parse(run.finished_at) > Date.parse(stats.computed_at));
  return [number(stats.total), isOlder || isStale ? `as of ${lately(stats.computed_at)}` : "without names, addresses or numbers"];
}

function lastGood({ health, runs }) {
  if (!health) return ["–", "not available"];
  if (health.last_success_age_seconds === null) return ["never", "no run has succeeded yet"];
  return [age(sinceSuccess(health)), "since it ended", isOverdue({ health, runs }) && "late"];
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
