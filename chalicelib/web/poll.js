// Polls for as long as a view is open and its tab is visible.

import { ask, Refusal } from "./api.js";
import { isLasting } from "./states.js";

/** Calls `work` and waits the seconds it returns, until it returns undefined or the signal aborts. Pauses in hidden tabs. */
export async function poll(work, signal) {
  while (!signal.aborted) {
    const seconds = await work().catch(unlessLeft);
    if (seconds === undefined) return;
    await pause(seconds, signal);
    if (document.hidden && !signal.aborted) await untilVisible(signal);
  }
}

/** Polls what the API says at a path. `draw` gets each answer, and returns the seconds until the next. `refuse` is told why there
 *  is none, once, however long that lasts; unless a retry changes nothing, `patience` seconds pass before the next. */
export function pollAnswers(path, options, draw, refuse, patience) {
  let refusal = null;
  return poll(async () => {
    let data;
    try {
      ({ data } = await ask(path, options));
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      if (refusal !== error.status) refuse(error);
      refusal = error.status;
      return isLasting(error) ? undefined : patience;
    }
    refusal = null;
    return draw(data);
  }, options.signal);
}

/** Ignores the AbortError of a view that was left: nothing waits for its answers any more. */
export function unlessLeft(error) {
  if (error.name !== "AbortError") throw error;
}

/** Waits, but no longer than until the signal aborts. */
export async function pause(seconds, signal) {
  await untilEither(signal, (done) => {
    const timer = setTimeout(done, seconds * 1_000);
    return () => clearTimeout(timer);
  });
}

async function untilVisible(signal) {
  await untilEither(signal, (done) => {
    document.addEventListener("visibilitychange", done);
    return () => document.removeEventListener("visibilitychange", done);
  });
}

/** Waits for what `begin` starts, or for the signal, and cleans up both, so that nothing piles up in a long-lived view. */
async function untilEither(signal, begin) {
  let end, done;
  await new Promise((resolve) => {
    done = resolve;
    end = begin(done);
    signal.addEventListener("abort", done);
  });
  end();
  signal.removeEventListener("abort", done);
}
