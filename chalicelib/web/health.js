// Polls the servers' health, on every view, and notifies listeners.

import { askHealth, Refusal } from "./api.js";
import { announce } from "./dom.js";
import { poll } from "./poll.js";

const SECONDS = 10;
const WORDS = { ok: "OK", degraded: "Redis down", down: "Postgres down", silent: "no answer" };
const listeners = new Set();
let latest;

/** Keeps the status pill in the page's header up to date while the page is open. */
export function watchHealth(pill) {
  let before = "ok";
  poll(async () => {
    latest = await askHealth().catch(silence);
    const status = latest?.status ?? "silent";
    if (status !== before) announce(`Decant: ${WORDS[status]}.`);
    before = status;
    pill.textContent = WORDS[status];
    pill.className = `pill ${status}`;
    for (const listener of listeners) listener(latest);
    return status === "ok" ? SECONDS : SECONDS / 3;
  }, new AbortController().signal);
}

/** A request too many says nothing about the servers. */
function silence(error) {
  if (!(error instanceof Refusal)) throw error;
  return error.status === 429 ? latest : null;
}

/** Calls back with each state (null if there is no answer) until the signal aborts. */
export function onHealth(listener, signal) {
  listeners.add(listener);
  signal.addEventListener("abort", () => listeners.delete(listener));
  if (latest !== undefined) listener(latest);
}
