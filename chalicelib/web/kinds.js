// The six possible outcomes of a record, whose counts add up to the records fetched; and the statuses of a run.

/** In the order of a bar's segments, from top to bottom; the sediment lies at the bottom. */
export const KINDS = [
  { name: "inserted", means: "new people" },
  { name: "updated", means: "known, and changed" },
  { name: "unchanged", means: "known, and as before" },
  { name: "duplicate", means: "twice on a page; the last counts" },
  { name: "rejected", means: "not valid; place and rule are kept" },
  { name: "suppressed", means: "erased, and not brought back" },
];

export const STATUS_MEANS = {
  running: "under way",
  succeeded: "all pages loaded",
  partial: "some pages loaded",
  failed: "no page loaded, one over the budget for rejects, or refused by Postgres, the queue or the keys",
  lost: "ended without a word; its lease ran out",
  skipped: "another run of the source was under way",
};

export const total = (run) => KINDS.reduce((sum, { name }) => sum + run[name], 0);

/** Milliseconds from a run's start to its end, or to now while it is running; null if its end is unknown. */
export function lasted(run) {
  if (!run.finished_at && run.status !== "running") return null;
  return Math.max(0, (run.finished_at ? Date.parse(run.finished_at) : Date.now()) - Date.parse(run.started_at));
}
