// One run: what became of its records, where its time went, and what it rejected. Updates while the run is running.

import { announce, card, element, entitle, facts, fill, gauge, isSelected, refill } from "./dom.js";
import { KINDS, lasted, meaning, total } from "./kinds.js";
import { pollAnswers } from "./poll.js";
import { rejectsPart } from "./rejects.js";
import { upLink } from "./rows.js";
import { badge } from "./runs.js";
import { stopButton } from "./start.js";
import { failure, isLasting, loading } from "./states.js";
import { counted, day, duration, lately, number, share, time, timestamp } from "./words.js";

const SECONDS = 0.7;
const STEPS = ["fetch", "validate", "clean", "protect", "load", "cache"];

export function runView(place, signal, runId) {
  const title = element("h1", { tabindex: -1 }, "Run");
  const body = element("div", {}, loading("the run"));
  const controls = element("div");
  const stale = element("p", { class: "said", role: "status" });
  fill(place, upLink("#/runs", "All runs"), element("div", { class: "part-head" }, title, controls), stale, body);
  let running = false;
  let asOf;
  pollAnswers(`runs/${runId}`, { signal }, (run) => {
    asOf = Date.now();
    fill(stale);
    refill(title, "Run of ", timestamp(run.started_at));
    entitle(`Run ${day(run.started_at)} ${time(run.started_at)} (${run.status})`);
    if (run.status === "running" && isSelected(body)) return SECONDS; // a redraw would clear the user's selection
    const held = body.contains(document.activeElement);
    const rejects = element("section", { class: "card" });
    fill(body, about(run), counts(run), timings(run), rejects);
    if (held) body.querySelector("a")?.focus(); // the only thing in a running run that can be focused
    if (run.status === "running") {
      rejects.remove();
      if (!running) fill(controls, stopButton(runId, signal));
      running = true;
      return SECONDS;
    }
    if (controls.contains(document.activeElement)) title.focus();
    fill(controls);
    if (running) announce(`The run has ended: ${run.status}. ${counted(run.fetched, "record", "records")}.`);
    rejectsPart(rejects, run, signal);
    return undefined;
  }, refuse, SECONDS * 4);
  /** What was shown stays, as what it is, if an answer may still come. */
  function refuse(error) {
    const isStale = running && !isLasting(error);
    fill(stale, isStale && `As of ${lately(asOf)}. ${error.message}.`);
    if (!isStale) fill(body, failure(error));
    if (isLasting(error)) fill(controls);
  }
}

function about(run) {
  const spent = lasted(run);
  const rows = [
    ["Duration", spent === null ? "unknown" : duration(spent)],
    ["Pages", run.status === "succeeded" ? number(run.pages_done) : `${number(run.pages_done)} of ${number(run.pages_planned)}`],
    run.page_size !== null && ["Page size", counted(run.page_size, "record", "records")],
    run.since && ["Asked for", element("span", {}, "who has changed since ", timestamp(run.since))],
    ["Trigger", run.queued ? `${run.trigger}, over the queue` : run.trigger],
    ["Source", run.source],
    ["Id", element("code", {}, run.run_id)],
    ["Contract", element("code", {}, run.contract_hash)],
    ["Key version", number(run.key_version)],
    run.unknown_fields > 0 && ["Unknown fields", counted(run.unknown_fields, "dropped", "dropped")],
    run.withheld > 0 && ["Kept texts", counted(run.withheld, "withheld", "withheld")],
    run.departed > 0 && ["Departed", `${counted(run.departed, "person", "people")} removed`],
    run.replay_of && ["Replay of", element("a", { href: `#/runs/${run.replay_of}` }, "an earlier run")],
  ];
  return [
    element("p", { class: "lead" }, badge(run), " ", element("span", { class: run.error && "error" }, meaning(run))),
    run.status === "running" && element("progress", { max: run.pages_planned, value: run.pages_done, "aria-label": "Pages done" }),
    facts(rows.filter(Boolean)),
  ];
}

/** The counts written out as a sum: they must add up to the records fetched. */
function counts(run) {
  const sum = total(run);
  const row = ({ name, means }) => element(
    "tr",
    {},
    element("th", { scope: "row" }, element("span", { class: `swatch ${name}` }), name, element("span", { class: "fine" }, means)),
    gauge("td", sum ? run[name] / sum : 0, name),
    element("td", { class: "numeric fine" }, share(run[name], sum)),
    element("td", { class: "numeric" }, `+ ${number(run[name])}`),
  );
  const adds = sum === run.fetched;
  return card(
    "Records by outcome",
    element(
      "table",
      { class: "sum" },
      unseenHead("Outcome", "Bar", "Share", "Records"),
      element("tbody", {}, KINDS.map(row)),
      element("tfoot", {}, element("tr", {}, element("th", { scope: "row", colspan: 3 }, adds ? "Fetched" : `Sum, of ${number(run.fetched)} fetched`), element("td", { class: "numeric" }, `= ${number(sum)}`))),
    ),
    run.status !== "running" && proof(run, adds),
    ["failed", "partial"].includes(run.status) && element("p", { class: "fine" }, "Pages that were not loaded changed nothing and are not counted here."),
  );
}

/** For screen readers: the columns explain themselves to the eye. */
function unseenHead(...titles) {
  return element("thead", { class: "unseen" }, element("tr", {}, titles.map((title) => element("th", { scope: "col" }, title))));
}

function proof(run, adds) {
  if (!adds) return element("p", { class: "error" }, "It does not add up.");
  if (!run.fetched) return element("p", { class: "fine" }, "Nothing was loaded, so there is nothing to count.");
  return element("p", { class: "proof" }, "It adds up: no record is lost, and none counted twice.");
}

function timings(run) {
  const steps = Object.entries(run.timings).sort(([one], [other]) => STEPS.indexOf(one) - STEPS.indexOf(other));
  const all = steps.reduce((sum, [, spent]) => sum + spent, 0);
  return card(
    "Where the time went",
    steps.length
      ? element(
        "table",
        { class: "sum" },
        unseenHead("Step", "Bar", "Time"),
        element("tbody", {}, steps.map(([name, spent]) => element(
          "tr",
          {},
          element("th", { scope: "row" }, name),
          gauge("td", all ? spent / all : 0),
          element("td", { class: "numeric" }, duration(spent)),
        ))),
      )
      : element("p", { class: "fine" }, run.status === "running" ? "Available when the run ends." : "No step was timed."),
  );
}
