// The first view: the current state, and the last runs.

import { ask, Refusal } from "./api.js";
import { announce, element, fill } from "./dom.js";
import { onHealth } from "./health.js";
import { nowPart } from "./now.js";
import { poll } from "./poll.js";
import { noRuns, runsPart } from "./runs.js";
import { startForm } from "./start.js";
import { failure, isLasting, loading } from "./states.js";
import { counted } from "./words.js";

const SHOWN = 50;
const BUSY_SECONDS = 1;
const IDLE_SECONDS = 10;

export function pipeline(place, signal) {
  const now = nowPart();
  const runs = runsPart(signal);
  const ledger = element("div", {}, loading("the runs"));
  const head = element("div", { class: "part-head" }, element("h2", { id: "runs" }, "Runs"), startForm(signal));
  fill(place, now.node, element("section", { "aria-labelledby": "runs", class: "card" }, head, ledger, element("p", { class: "fine" }, element("a", { href: "#/runs" }, "Older runs"))));
  onHealth((health) => now.update({ health }), signal);
  poll(async () => {
    now.update({ stats: await ask("stats", { signal }).then(({ data }) => data, orNothing) });
    return IDLE_SECONDS;
  }, signal);
  let before = [];
  let refusal = null;
  poll(async () => {
    let news;
    try {
      news = (await ask("runs", { query: { limit: SHOWN }, signal })).data.items;
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      if (refusal !== error.status) fill(ledger, failure(error)); // shown once, however long it lasts
      refusal = error.status;
      return isLasting(error) ? undefined : BUSY_SECONDS * 3;
    }
    refusal = null;
    now.update({ runs: news });
    if (ledger.firstChild !== runs.node || !news.length) fill(ledger, news.length ? runs.node : noRuns());
    runs.update(news);
    tellEnded(before, news);
    before = news;
    return news.some((run) => run.status === "running") ? BUSY_SECONDS : IDLE_SECONDS;
  }, signal);
}

/** Statistics take longer than all else, and may fail alone; the view works without them. */
function orNothing(error) {
  if (error instanceof Refusal) return null;
  throw error;
}

function tellEnded(before, runs) {
  const wasRunning = new Set(before.filter((run) => run.status === "running").map((run) => run.run_id));
  for (const run of runs) {
    if (wasRunning.has(run.run_id) && run.status !== "running") announce(`A run ended: ${run.status}, ${counted(run.fetched, "record", "records")}.`);
  }
}
