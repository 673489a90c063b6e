// The first view: the current state, and the last runs.

import { ask, Refusal } from "./api.js";
import { announce, element, fill } from "./dom.js";
import { onHealth } from "./health.js";
import { nowPart } from "./now.js";
import { poll } from "./poll.js";
import { noRuns, runsPart } from "./runs.js";
import { startForm } from "./start.js";
import { failure, loading } from "./states.js";
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
  let before = [];
  let refusal = null;
  poll(async () => {
    const news = await newest(signal);
    if (news instanceof Refusal) {
      if (refusal !== news.status) fill(ledger, failure(news)); // shown once, however long it lasts
      refusal = news.status;
      return BUSY_SECONDS * 3;
    }
    refusal = null;
    now.update(news);
    if (ledger.firstChild !== runs.node || !news.runs.length) fill(ledger, news.runs.length ? runs.node : noRuns());
    runs.update(news.runs);
    tellEnded(before, news.runs);
    before = news.runs;
    return news.runs.some((run) => run.status === "running") ? BUSY_SECONDS : IDLE_SECONDS;
  }, signal);
}

/** The newest runs and the statistics, or the Refusal. */
async function newest(signal) {
  try {
    const [runs, stats] = await Promise.all([ask("runs", { query: { limit: SHOWN }, signal }), ask("stats", { signal })]);
    return { runs: runs.data.items, stats: stats.data };
  } catch (error) {
    if (error instanceof Refusal) return error;
    throw error;
  }
}

function tellEnded(before, runs) {
  const wasRunning = new Set(before.filter((run) => run.status === "running").map((run) => run.run_id));
  for (const run of runs) {
    if (wasRunning.has(run.run_id) && run.status !== "running") announce(`A run ended: ${run.status}, ${counted(run.fetched, "record", "records")}.`);
  }
}
