// The first view: the current state, and the last runs.

import { ask, Refusal } from "./api.js";
import { announce, element, fill } from "./dom.js";
import { checkHealth, onHealth } from "./health.js";
import { nowPart } from "./now.js";
import { poll, pollAnswers, unlessLeft } from "./poll.js";
import { backTo } from "./rows.js";
import { noRuns, runsPart } from "./runs.js";
import { startForm } from "./start.js";
import { failure, isLasting, loading } from "./states.js";
import { counted, lately } from "./words.js";

const SHOWN = 50;
const BUSY_SECONDS = 1;
const IDLE_SECONDS = 10;
const COUNT_PATIENCE = 20; // times as long as the statistics took: of many people, Postgres would compute nothing else
const LONGEST_SECONDS = 600;

export function pipeline(place, signal) {
  const now = nowPart();
  const runs = runsPart(signal);
  const ledger = element("div", {}, loading("the runs"));
  const stale = element("p", { class: "said", role: "status" });
  const head = element("div", { class: "part-head" }, element("h2", { id: "runs" }, "Runs"), startForm(signal));
  fill(place, now.node, element("section", { "aria-labelledby": "runs", class: "card" }, head, stale, ledger));
  onHealth((health) => now.update({ health }), signal);
  let counts = 0;
  const count = async () => {
    const mine = (counts += 1);
    const began = performance.now();
    try {
      const { data } = await ask("stats", { signal });
      if (mine === counts) now.update({ stats: data });
    } catch (error) { // they take longer than all else, and may fail alone; the view works without them
      if (!(error instanceof Refusal)) throw error;
      if (isLasting(error)) return undefined;
    }
    const spent = (performance.now() - began) / 1_000;
    return Math.min(Math.max(IDLE_SECONDS, COUNT_PATIENCE * spent), LONGEST_SECONDS);
  };
  poll(count, signal);
  let before = [];
  let asOf;
  pollAnswers("runs", { query: { limit: SHOWN }, signal }, ({ items: news }) => {
    const isFirst = asOf === undefined;
    asOf = Date.now();
    fill(stale);
    ledger.classList.remove("stale");
    now.update({ runs: news, refusal: null });
    if (ledger.firstChild !== runs.node || !news.length) fill(ledger, news.length ? runs.node : noRuns());
    runs.update(news);
    if (isFirst) backTo(runs.node);
    const ended = endedSince(before, news);
    for (const run of ended) announce(`A run ended: ${run.status}, ${counted(run.fetched, "record", "records")}.`);
    before = news;
    if (ended.length) for (const asking of [count(), checkHealth()]) asking.catch(unlessLeft); // the runs do not wait for them
    return news.some((run) => run.status === "running") ? BUSY_SECONDS : IDLE_SECONDS;
  }, refuse, BUSY_SECONDS * 3);
  /** What was shown stays, as what it is, if an answer may still come. */
  function refuse(error) {
    now.update({ refusal: error });
    checkHealth();
    const isStale = before.length > 0 && !isLasting(error);
    ledger.classList.toggle("stale", isStale);
    fill(stale, isStale && `As of ${lately(asOf)}. ${error.message}.`);
    if (!isStale) fill(ledger, failure(error));
  }
}

function endedSince(before, runs) {
  const wasRunning = new Set(before.filter((run) => run.status === "running").map((run) => run.run_id));
  return runs.filter((run) => wasRunning.has(run.run_id) && run.status !== "running");
}
