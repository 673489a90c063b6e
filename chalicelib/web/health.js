// Asks how the servers are, on every view, and tells whoever listens.

import { askHealth, Refusal } from "./api.js";
import { announce } from "./dom.js";
import { poll } from "./poll.js";

const SECONDS = 10;
const WORDS = { ok: "well", degraded: "Redis away", down: "Postgres away", silent: "no answer" };
const listeners = new Set();
let latest;

/** Keeps the pill in the page's head up to date for as long as the page is open. */
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

function silence(error) {
  if (!(error instanceof Refusal)) throw error;
  return null;
}

/** Calls back with each state (null if nobody answers) until the signal ends it. */
export function onHealth(listener, signal) {
  listeners.add(listener);
  signal.addEventListener("abort", () => listeners.delete(listener));
  if (latest !== undefined) listener(latest);
}
