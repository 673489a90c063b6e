// Asks again and again, as long as a view is there and somebody looks.

/** Calls `work` until the signal ends it; `work` gives the seconds to the next time. Hidden tabs rest. */
export async function poll(work, signal) {
  while (!signal.aborted) {
    const seconds = await work().catch(unlessLeft);
    if (seconds === undefined) return;
    await pause(seconds, signal);
  }
}

/** Lets the end of a view pass: nobody waits for its answers any more. */
export function unlessLeft(error) {
  if (error.name !== "AbortError") throw error;
}

async function pause(seconds, signal) {
  await new Promise((done) => {
    const timer = setTimeout(done, seconds * 1_000);
    signal.addEventListener("abort", () => { clearTimeout(timer); done(); }, { once: true });
  });
  if (!document.hidden || signal.aborted) return;
  await new Promise((done) => {
    document.addEventListener("visibilitychange", done, { once: true, signal });
    signal.addEventListener("abort", done, { once: true });
  });
}
