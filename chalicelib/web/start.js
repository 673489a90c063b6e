// The buttons that start and stop a run. Whether the key has the scope for it only shows when they are tried.

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
      const { data } = await ask("runs", { method: "POST", body: pages.value ? { pages: Number(pages.value) } : {}, signal });
      announce(BECAME[data.status]);
      location.hash = `#/runs/${data.run_id}`;
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
  const button = element("button", { type: "button", click: stop }, "Stop this run");
  const said = element("p", { class: "said" });
  async function stop() {
    if (button.hasAttribute("aria-disabled")) return;
    button.setAttribute("aria-disabled", "true"); // unlike a disabled button, it keeps the focus
    report(said, "Stopping …");
    try {
      await ask(`runs/${runId}/stop`, { method: "POST", signal });
    } catch (error) {
      if (error.name === "AbortError") return;
      complain(said, complaint(error, "operate", "the run may still be stopped. This view shows it."));
      button.removeAttribute("aria-disabled");
    }
  }
  return element("div", { class: "buttons" }, said, button);
}
