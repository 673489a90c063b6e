// Polls the servers' health, on every view, and notifies listeners.

import { askHealth, Refusal } from "./api.js";
import { announce } from "./dom.js";
import { poll } from "./poll.js";

const SECONDS = 10;
const WORDS = { ok: "OK", degraded: "Redis down", down: "Postgres down", silent: "no answer" };
const pill = document.getElementById("health");
const listeners = new Set();
let latest;
let before = "ok";

/** Keeps the status pill in the page's header up to date while the page is open. */
export function watchHealth() {
  poll(checkHealth, new AbortController().signal);
}

/** Asks now, whatever the poll does, and returns the seconds until the poll should ask again. */
export async function checkHealth() {
  latest = await askHealth().then((answer) => ({ ...answer, at: Date.now() }), silence);
  const status = latest?.status ?? "silent";
  if (status !== before) announce(`Decant: ${WORDS[status]}.`);
  before = status;
  pill.textContent = WORDS[status];
  pill.className = `pill ${status}`;
  for (const listener of listeners) listener(latest);
  return status === "ok" ? SECONDS : SECONDS / 3;
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
