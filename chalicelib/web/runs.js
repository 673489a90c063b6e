// The runs as a chart, and as a table.

import { draw, inWords } from "./chart.js";
import { element, fill } from "./dom.js";
import { KINDS, STATUS_MEANS, lasted } from "./kinds.js";
import { empty } from "./states.js";
import { table } from "./table.js";
import { duration, moment, number } from "./words.js";

const HINT = "Each bar is a run. Its status and duration are shown below it.";

/** The part of the page that shows runs; `update` takes runs, newest first. */
export function runsPart(signal) {
  const chart = element("div", { class: "chart-frame" });
  const readout = element("p", { class: "readout", "aria-hidden": "true" });
  const asTable = element("div");
  let known = [];
  let inShares = false;
  const redraw = () => drawInto(chart, readout, known, inShares);
  const switchTo = (shares) => { inShares = shares; redraw(); };
  const node = element(
    "div",
    {},
    element("div", { class: "chart-head" }, legend(), measure(switchTo)),
    chart,
    readout,
    element("details", { class: "as-table" }, element("summary", {}, "Show as table"), asTable),
  );
  const watcher = new ResizeObserver(redraw);
  watcher.observe(chart);
  signal.addEventListener("abort", () => watcher.disconnect());
  const update = (runs) => {
    if (JSON.stringify(runs) === JSON.stringify(known) && !runs.some((run) => run.status === "running")) return;
    known = runs;
    redraw();
    if (asTable.contains(document.activeElement)) return;
    const across = asTable.querySelector(".scroll")?.scrollLeft ?? 0;
    fill(asTable, runsTable("The last runs, newest first", runs)).firstChild.scrollLeft = across;
  };
  return { node, update };
}

export const noRuns = () => empty("No runs yet", "Start a run, or wait for the schedule. Each run appears here.");

function legend() {
  return element(
    "ul",
    { class: "legend" },
    KINDS.map(({ name, means }) => element("li", { title: means }, element("span", { class: `swatch ${name}` }), name)),
  );
}

function measure(switchTo) {
  const choice = (label, inShares) => element(
    "label",
    {},
    element("input", { type: "radio", name: "measure", checked: !inShares, change: () => switchTo(inShares) }),
    element("span", {}, label),
  );
  return element("fieldset", { class: "choice" }, element("legend", { class: "unseen" }, "Bar height"), choice("Records", false), choice("Shares", true));
}

function drawInto(frame, readout, runs, inShares) {
  if (!runs.length || !frame.isConnected) return;
  const held = frame.contains(document.activeElement) ? document.activeElement.dataset.run : undefined;
  const before = frame.querySelector(".scroll");
  const fromEnd = before ? before.scrollWidth - before.scrollLeft : 0;
  const oldestFirst = [...runs].reverse();
  const { scales, picture } = draw(oldestFirst, inShares, Math.max(frame.clientWidth - 60, 200));
  const scroll = element("div", { class: "scroll" }, picture);
  fill(frame, scales, scroll);
  scroll.scrollLeft = scroll.scrollWidth - (before ? fromEnd : 0);
  const tell = (text) => { readout.textContent = text; };
  tell(HINT);
  walkable([...picture.querySelectorAll(".bar")], new Map(runs.map((run) => [run.run_id, inWords(run)])), tell, held);
}

/** Makes the bars one tab stop; arrow keys, Home and End move between them. */
function walkable(bars, words, tell, held) {
  const go = (at) => {
    const bar = bars[Math.min(Math.max(at, 0), bars.length - 1)];
    for (const other of bars) other.setAttribute("tabindex", other === bar ? 0 : -1);
    bar.focus({ preventScroll: document.activeElement === document.body }); // after a redraw, without scrolling
  };
  bars.forEach((bar, at) => {
    const steps = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: bars.length - 1 };
    bar.addEventListener("keydown", (event) => {
      if (event.key in steps) { event.preventDefault(); go(steps[event.key]); }
    });
    for (const kind of ["focus", "pointerenter"]) bar.addEventListener(kind, () => tell(words.get(bar.dataset.run)));
  });
  const heldAt = bars.findIndex((bar) => bar.dataset.run === held);
  bars.at(heldAt).setAttribute("tabindex", 0); // the newest, the last, if none is held
  if (heldAt >= 0) go(heldAt);
}

export function runsTable(caption, runs) {
  const columns = [
    { title: "Started", cell: (run) => element("a", { href: `#/runs/${run.run_id}` }, moment(run.started_at)) },
    { title: "Status", cell: badge },
    { title: "Duration", cell: (run) => (lasted(run) === null ? "–" : duration(lasted(run))), numeric: true },
    { title: "Fetched", cell: (run) => number(run.fetched), numeric: true },
    ...KINDS.map(({ name }) => ({ title: name, cell: (run) => number(run[name]), numeric: true })),
  ];
  return table(caption, columns, runs);
}

export function badge(run) {
  return element("span", { class: `badge ${run.status}`, title: STATUS_MEANS[run.status] ?? "" }, run.status);
}
