// Polls for as long as a view is open and its tab is visible.

/** Calls `work` and waits the seconds it returns, until it returns undefined or the signal aborts. Pauses in hidden tabs. */
export async function poll(work, signal) {
  while (!signal.aborted) {
    const seconds = await work().catch(unlessLeft);
    if (seconds === undefined) return;
    await pause(seconds, signal);
    if (document.hidden && !signal.aborted) await untilVisible(signal);
  }
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
