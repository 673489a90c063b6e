// The runs as a chart, and as a table.

import { draw, inWords, mark } from "./chart.js";
import { element, fill, isSelected } from "./dom.js";
import { KINDS, lasted, meaning } from "./kinds.js";
import { remember } from "./rows.js";
import { empty } from "./states.js";
import { table } from "./table.js";
import { duration, number, timestamp } from "./words.js";

const MARKS = [["succeeded"], ["partial"], ["failed", "failed or lost"], ["running"], ["skipped"]];
let inShares = false; // both kept for coming back from a run
let isTabled = false;

/** The part of the page that shows runs; `update` takes runs, newest first. */
export function runsPart(signal) {
  const chart = element("div", {
    class: "chart-frame", pointerover: (event) => tell(runAt(event)), pointerleave: () => tell(), focusin: (event) => tell(runAt(event)), focusout: () => tell(),
  });
  const readout = element("p", { class: "readout", "aria-hidden": "true" });
  const asTable = element("div");
  let known = [];
  let tabled; // the runs in the table
  let told;
  const tell = (id) => {
    told = known.find((run) => run.run_id === id);
    fill(readout, told ? inWords(told) : marks());
  };
  const redraw = () => {
    drawInto(chart, known);
    tell(told?.run_id);
  };
  const switchTo = (shares) => { inShares = shares; redraw(); };
  const node = element(
    "div",
    { click: remember },
    element("div", { class: "chart-head" }, legend(), measure(switchTo)),
    chart,
    readout,
    element("details", { class: "as-table", open: isTabled, toggle: ({ target }) => { isTabled = target.open; } }, element("summary", {}, "Show as table"), asTable),
    element("p", { class: "more" }, element("a", { href: "#/runs" }, "All runs")),
  );
  const watcher = new ResizeObserver(redraw);
  watcher.observe(chart);
  signal.addEventListener("abort", () => watcher.disconnect());
  const update = (runs) => {
    if (JSON.stringify(runs) !== JSON.stringify(known) || runs.some((run) => run.status === "running")) {
      known = runs;
      redraw();
    }
    if (tabled === known || isSelected(asTable) || asTable.contains(document.activeElement)) return; // it catches up when it is let go
    tabled = known;
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

/** What the marks below the bars mean; shown while no run is pointed at. */
function marks() {
  return element("span", { class: "legend" }, MARKS.map(([status, text = status]) => element("span", {}, mark(status), text)));
}

const runAt = ({ target }) => target.closest(".bar")?.dataset.run;

function measure(switchTo) {
  const choice = (label, shares) => element(
    "label",
    {},
    element("input", { type: "radio", name: "measure", checked: shares === inShares, change: () => switchTo(shares) }),
    element("span", {}, label),
  );
  return element("fieldset", { class: "choice" }, element("legend", { class: "unseen" }, "Bar height"), choice("Records", false), choice("Shares", true));
}

function drawInto(frame, runs) {
  if (!runs.length || !frame.isConnected) return;
  const held = frame.contains(document.activeElement) ? document.activeElement.dataset.run : undefined;
  const before = frame.querySelector(".scroll");
  const fromEnd = before ? before.scrollWidth - before.scrollLeft : 0;
  const oldestFirst = [...runs].reverse();
  const { scales, picture } = draw(oldestFirst, inShares, frame.clientWidth);
  const scroll = element("div", { class: "scroll" }, picture);
  fill(frame, scales, scroll);
  scroll.scrollLeft = scroll.scrollWidth - (before ? fromEnd : 0);
  walkable([...picture.querySelectorAll(".bar")], held);
}

/** Makes the bars one tab stop; arrow keys, Home and End move between them. */
function walkable(bars, held) {
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
  });
  const heldAt = bars.findIndex((bar) => bar.dataset.run === held);
  bars.at(heldAt).setAttribute("tabindex", 0); // the newest, the last, if none is held
  if (heldAt >= 0) go(heldAt);
}

export function runsTable(caption, runs) {
  const columns = [
    { title: "Started", cell: (run) => element("a", { href: `#/runs/${run.run_id}` }, timestamp(run.started_at)) },
    { title: "Status", cell: badge },
    { title: "Duration", cell: (run) => (lasted(run) === null ? "–" : duration(lasted(run))), numeric: true },
    { title: "Fetched", cell: (run) => number(run.fetched), numeric: true },
    ...KINDS.map(({ name }) => ({ title: name, cell: (run) => number(run[name]), numeric: true })),
  ];
  return table(caption, columns, runs);
}

export function badge(run) {
  return element("span", { class: `badge ${run.status}`, title: meaning(run) }, run.status);
}
