// The seven possible outcomes of a record, whose counts add up to the records fetched; and the statuses of a run.

/** In the order of a bar's segments, from top to bottom. */
export const KINDS = [
  { name: "inserted", means: "new people" },
  { name: "updated", means: "known and changed" },
  { name: "unchanged", means: "known and not changed" },
  { name: "duplicate", means: "repeated on a page; the last one is used" },
  { name: "rejected", means: "invalid; position and rule are recorded" },
  { name: "suppressed", means: "erased before, not stored again" },
  { name: "filtered", means: "valid, but not wanted by the dialect" },
];

const STATUS_MEANS = {
  running: "in progress",
  succeeded: "all pages loaded",
  partial: "something is missing",
  failed: "no page loaded, too many rejects on a page, or refused by Postgres, the queue or the check of the keys",
  lost: "stopped without reporting; its lease expired",
  skipped: "another run of the source was in progress",
};

export const STATUSES = Object.keys(STATUS_MEANS);

export const wasStopped = ({ error }) => error === "stopped on request";

/** What a run's status means; its error, if it has one, rather than everything that may have gone wrong. */
export function meaning(run) {
  if (wasStopped(run)) return "stopped by an operator; loaded pages stay";
  return run.error ?? STATUS_MEANS[run.status] ?? "";
}

export const total = (run) => KINDS.reduce((sum, { name }) => sum + run[name], 0);

/** Milliseconds from a run's start to its end, or to now while it is running; null if its end is unknown. */
export function lasted(run) {
  if (!run.finished_at && run.status !== "running") return null;
  return Math.max(0, (run.finished_at ? Date.parse(run.finished_at) : Date.now()) - Date.parse(run.started_at));
}
