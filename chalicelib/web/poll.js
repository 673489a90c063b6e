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
  await untilEither(signal, (done) => {
    const timer = setTimeout(done, seconds * 1_000);
    return () => clearTimeout(timer);
  });
  if (!document.hidden || signal.aborted) return;
  await untilEither(signal, (done) => {
    document.addEventListener("visibilitychange", done);
    return () => document.removeEventListener("visibilitychange", done);
  });
}

/** Waits for what `begin` begins, or for the signal; and leaves neither behind, however long the view is there. */
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
