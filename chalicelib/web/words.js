// Formats numbers, times and shares for reading.

import { element } from "./dom.js";

const whole = new Intl.NumberFormat("en");
const compact = new Intl.NumberFormat("en", { notation: "compact" });
const tenths = new Intl.NumberFormat("en", { minimumFractionDigits: 1, maximumFractionDigits: 1 });
const percent = new Intl.NumberFormat("en", { style: "percent", maximumFractionDigits: 1 });
const inYear = { day: "numeric", month: "short" };
const inFull = { ...inYear, year: "numeric" };
const clock = { hour: "2-digit", minute: "2-digit" };
const dated = new Intl.DateTimeFormat("en-GB", inFull);
const timed = new Intl.DateTimeFormat("en-GB", { ...inFull, ...clock, second: "2-digit" });
const undated = new Intl.DateTimeFormat("en-GB", inYear);
const iso = new Intl.DateTimeFormat("sv"); // Sweden writes 2026-11-30
const oclock = new Intl.DateTimeFormat("en-GB", clock);

export const number = (value) => whole.format(value);
export const rounded = (value) => (value < 100_000_000 ? number(value) : compact.format(value));
export const share = (part, all) => percentage(all ? part / all : 0);
export const day = (moment) => undated.format(new Date(moment));
export const date = (moment) => dated.format(new Date(moment));
export const isoDate = (moment) => iso.format(new Date(moment));
export const moment = (moment) => timed.format(new Date(moment));
export const time = (moment) => oclock.format(new Date(moment));

/** A share: a part is never shown as nothing, nor as everything. */
export function percentage(share) {
  if (share > 0 && share < 0.001) return `<${percent.format(0.001)}`;
  if (share > 0.999 && share < 1) return `>${percent.format(0.999)}`;
  return percent.format(share);
}

/** The time of a moment, with its date unless that is today. */
export const lately = (when) => (date(when) === date(Date.now()) ? time(when) : moment(when));

/** A moment in the user's time zone; in UTC, as in the logs, when it is pointed at. */
export function timestamp(when, words = moment) {
  const title = `${new Date(when).toISOString().slice(0, 19).replace("T", " ")} UTC`;
  return element("time", { datetime: when, title }, words(when));
}

export function counted(count, one, many) {
  return `${number(count)} ${count === 1 ? one : many}`;
}

/** Milliseconds as a duration in words. */
export function duration(milliseconds) {
  if (milliseconds < 999.5) return `${milliseconds < 9.95 ? tenths.format(milliseconds) : Math.round(milliseconds)} ms`;
  if (milliseconds < 59_950) return `${tenths.format(milliseconds / 1_000)} s`;
  const seconds = Math.round(milliseconds / 1_000);
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${seconds % 60} s`;
  return `${number(Math.floor(minutes / 60))} h ${minutes % 60} min`;
}

/** Seconds in the largest unit that fits. Up to two days these are hours: 47 hours are not "1 day". */
export function age(seconds) {
  if (seconds >= 2 * 86_400) return `${number(Math.floor(seconds / 86_400))} days`;
  for (const [length, one, many] of [[3_600, "hour", "hours"], [60, "minute", "minutes"]]) {
    if (seconds >= length) return counted(Math.floor(seconds / length), one, many);
  }
  return counted(Math.floor(seconds), "second", "seconds");
}
