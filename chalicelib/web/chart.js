// Draws runs as stacked bars of records, without a library. Below each bar: the run's status and its duration.

import { svg } from "./dom.js";
import { KINDS, lasted, total } from "./kinds.js";
import { day, duration, moment, number, rounded, share, time } from "./words.js";

const REM = 16;
const TALL = 190; // height of the bars
const TOP = 10;
const STATUS_AT = TOP + TALL + 16;
const LENGTHS_AT = STATUS_AT + 14;
const LENGTHS_TALL = 34;
const CLOCK_AT = LENGTHS_AT + LENGTHS_TALL + 18;
const HEIGHT = CLOCK_AT + 6;
const CLOCK_APART = 64;
const LEAST = 2; // pixels, so that any count above zero is visible

/** Two pictures, oldest run first: the scales, which stay in place, and the bars, which can be scrolled. `place` is in CSS pixels. */
export function draw(runs, inShares, place) {
  const scale = parseFloat(getComputedStyle(document.documentElement).fontSize) / REM;
  const room = Math.max(place / scale - 60, 200);
  const slot = Math.min(Math.max(room / Math.max(runs.length, 12), 15), 44);
  const most = inShares ? 1 : nice(Math.max(...runs.map(total), 1));
  const longest = Math.max(...runs.map((run) => lasted(run) ?? 0), 1);
  const width = Math.max(room, slot * runs.length);
  const left = width - slot * runs.length; // the newest stands at the right edge
  const bars = runs.map((run, at) => bar(run, { x: left + at * slot, slot, most, longest, inShares }));
  const picture = svg(
    "svg",
    { class: "chart", ...sized(width, HEIGHT), role: "group", "aria-label": "Runs, oldest first. Use the arrow keys to move between them." },
    hatch(),
    [0, 0.5, 1].map((part) => svg("line", { class: "rule", x1: 0, x2: width, y1: TOP + TALL * (1 - part), y2: TOP + TALL * (1 - part) })),
    bars,
    clock(runs, left, slot),
  );
  return { scales: scales(most, longest, inShares), picture };
}

/** Pictures grow with the user's font size, as the text around them does. */
const sized = (width, height) => ({ viewBox: `0 0 ${width} ${height}`, width: `${width / REM}rem`, height: `${height / REM}rem` });

function scales(most, longest, inShares) {
  const label = (text, y) => svg("text", { x: 52, y, "text-anchor": "end" }, text);
  const value = (part) => (inShares ? share(part, 1) : rounded(most * part));
  return svg(
    "svg",
    { class: "chart", ...sized(58, HEIGHT), "aria-hidden": "true" },
    [0, 0.5, 1].filter((part) => inShares || Number.isInteger(most * part)).map((part) => label(value(part), TOP + TALL * (1 - part) + 4)),
    label("Duration", LENGTHS_AT + 8),
    label(duration(longest), LENGTHS_AT + LENGTHS_TALL),
  );
}

/** One run: a link whose label says everything in words, around shapes that show the same. */
function bar(run, scale) {
  const middle = scale.x + scale.slot / 2;
  const wide = Math.min(scale.slot - 4, 26);
  const spent = lasted(run);
  const tall = spent === null ? 0 : Math.max((spent / scale.longest) * LENGTHS_TALL, 1);
  return svg(
    "a",
    { class: `bar ${run.status}`, href: `#/runs/${run.run_id}`, tabindex: -1, "aria-label": inWords(run), "data-run": run.run_id },
    svg("rect", { class: "reach", x: scale.x, y: 0, width: scale.slot, height: LENGTHS_AT + LENGTHS_TALL, rx: 3 }),
    segments(run, scale, middle - wide / 2, wide),
    status(run.status, middle, STATUS_AT),
    svg("rect", { class: "length", x: middle - 1.5, y: LENGTHS_AT, width: 3, height: tall, rx: 1.5 }),
  );
}

function segments(run, { most, inShares }, x, width) {
  const sum = total(run);
  if (!sum) return [];
  const unit = TALL / (inShares ? sum : most);
  const kinds = KINDS.filter(({ name }) => run[name]).reverse();
  const heights = kinds.map(({ name }) => Math.max(run[name] * unit, LEAST));
  const excess = heights.reduce((one, other) => one + other) - sum * unit; // the tallest makes room for the least
  const tallest = heights.indexOf(Math.max(...heights));
  heights[tallest] = Math.max(heights[tallest] - excess, LEAST);
  let y = TOP + TALL;
  return kinds.map(({ name }, at) => {
    y -= heights[at];
    return svg("rect", { class: `kind ${name}`, x, y, width, height: heights[at] });
  });
}

/** A shape for each status, so that colour alone does not carry it. */
function status(name, x, y) {
  const r = 3.5;
  if (name === "succeeded") return svg("circle", { class: "status", cx: x, cy: y, r });
  if (name === "running") return svg("circle", { class: "status open", cx: x, cy: y, r });
  if (name === "partial") return svg("path", { class: "status half", d: `M${x - r} ${y}a${r} ${r} 0 1 0 ${2 * r} 0a${r} ${r} 0 1 0 ${-2 * r} 0zM${x - r} ${y}a${r} ${r} 0 0 1 ${2 * r} 0z` });
  if (name === "skipped") return svg("path", { class: "status line", d: `M${x - r} ${y}h${2 * r}` });
  return svg("path", { class: "status line", d: `M${x - r} ${y - r}l${2 * r} ${2 * r}m0 ${-2 * r}l${-2 * r} ${2 * r}` });
}

/** The same shape beside text. */
export function mark(name) {
  return svg("svg", { class: "chart mark", ...sized(10, 10), "aria-hidden": "true" }, svg("g", { class: name }, status(name, 5, 5)));
}

/** Labels some of the runs with their start: the time, or the day if it differs from the previous label's. */
function clock(runs, left, slot) {
  const every = Math.ceil(CLOCK_APART / slot);
  let before = day(Date.now());
  return runs.map((run, at) => {
    const fromEnd = runs.length - 1 - at;
    const x = left + (at + 0.5) * slot;
    if (fromEnd % every !== 0 || x <= 20) return null;
    const today = day(run.started_at);
    const label = today === before ? time(run.started_at) : today;
    before = today;
    return svg("text", { x: Math.min(x, left + runs.length * slot - 18), y: CLOCK_AT, "text-anchor": "middle" }, label);
  });
}

/** Rejects are hatched, so that they can be told from the rest without colour. */
function hatch() {
  return svg(
    "defs",
    {},
    svg(
      "pattern",
      { id: "hatch", width: 5, height: 5, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" },
      svg("rect", { class: "hatch-ground", width: 5, height: 5 }),
      svg("rect", { class: "hatch-line", width: 2, height: 5 }),
    ),
  );
}

export function inWords(run) {
  const counts = KINDS.filter(({ name }) => run[name]).map(({ name }) => `${number(run[name])} ${name}`);
  const spent = lasted(run);
  const parts = [moment(run.started_at), run.status, spent !== null && duration(spent), `${number(run.fetched)} fetched`, ...counts];
  return parts.filter(Boolean).join(", ");
}

/** The smallest round number for a scale that is not below `most`. */
function nice(most) {
  const power = 10 ** Math.floor(Math.log10(most));
  return [1, 2, 4, 6, 10].map((step) => step * power).find((step) => step >= most);
}
