// The buttons that start, stop and replay a run. Whether the key has the scope for it only shows when they are tried.

import { ask } from "./api.js";
import { announce, complain, element, freshId, report } from "./dom.js";
import { complaint } from "./states.js";

const BECAME = {
  running: "The run has started.",
  skipped: "Another run is in progress; this one was skipped.",
  failed: "The run failed before it started.",
};

export function startForm(signal) {
  const id = freshId();
  const pages = element("input", { id, type: "number", min: 1, max: 100_000, step: 1, placeholder: "default", inputmode: "numeric" });
  const button = element("button", { class: "main" }, "Start a run");
  const said = element("p", { class: "said", role: "alert" });
  const start = async (event) => {
    event.preventDefault();
    const held = document.activeElement === button;
    button.disabled = true;
    said.textContent = "";
    try {
      await begin(pages.value ? { pages: Number(pages.value) } : {}, signal);
    } catch (error) {
      if (error.name === "AbortError") return;
      said.textContent = complaint(error, "operate", "the run may have started. The list shows it.");
    } finally {
      button.disabled = false;
      if (held) button.focus();
    }
  };
  return element("form", { class: "start", submit: start }, element("label", { for: id }, "Pages"), pages, button, said);
}

export function stopButton(runId, signal) {
  const stop = () => ask(`runs/${runId}/stop`, { method: "POST", signal });
  return actionButton("Stop this run", stop, "Stopping …", "the run may still be stopped. This view shows it.");
}

/** Puts the records of a run that are still sealed through today's rules, in a run of its own. */
export function replayButton(runId, signal) {
  const replay = () => begin({ replay: runId }, signal);
  return actionButton("Replay the sealed records", replay, "Starting the replay …", "the replay may have started. The list of runs shows it.");
}

/** Requests a run and goes to its view, which says what becomes of it. */
async function begin(body, signal) {
  const { data } = await ask("runs", { method: "POST", body, signal });
  announce(BECAME[data.status]);
  location.hash = `#/runs/${data.run_id}`;
}

/** A button with a message beside it: `doing` at once, or why it failed; `unknown` if the action may have happened. */
function actionButton(label, act, doing, unknown) {
  const button = element("button", { type: "button", click }, label);
  const said = element("p", { class: "said" });
  async function click() {
    if (button.hasAttribute("aria-disabled")) return;
    button.setAttribute("aria-disabled", "true"); // unlike a disabled button, it keeps the focus
    report(said, doing);
    try {
      await act();
    } catch (error) {
      if (error.name === "AbortError") return;
      complain(said, complaint(error, "operate", unknown));
      button.removeAttribute("aria-disabled");
    }
  }
  return element("div", { class: "buttons" }, said, button);
}
