// Formats numbers, times and shares for reading.

const whole = new Intl.NumberFormat("en");
const tenths = new Intl.NumberFormat("en", { minimumFractionDigits: 1, maximumFractionDigits: 1 });
const percent = new Intl.NumberFormat("en", { style: "percent", maximumFractionDigits: 1 });
const inYear = { day: "numeric", month: "short" };
const inFull = { ...inYear, year: "numeric" };
const clock = { hour: "2-digit", minute: "2-digit" };
const dated = new Intl.DateTimeFormat("en-GB", inFull);
const timed = new Intl.DateTimeFormat("en-GB", { ...inFull, ...clock, second: "2-digit" });
const undated = new Intl.DateTimeFormat("en-GB", inYear);
const oclock = new Intl.DateTimeFormat("en-GB", clock);

export const number = (value) => whole.format(value);
export const percentage = (share) => percent.format(share);
export const share = (part, all) => percentage(all ? part / all : 0);
export const day = (moment) => undated.format(new Date(moment));
export const date = (moment) => dated.format(new Date(moment));
export const moment = (moment) => timed.format(new Date(moment));
export const time = (moment) => oclock.format(new Date(moment));

export function counted(count, one, many) {
  return `${number(count)} ${count === 1 ? one : many}`;
}

/** Milliseconds as a duration in words. */
export function duration(milliseconds) {
  if (milliseconds < 1_000) return `${milliseconds < 10 ? tenths.format(milliseconds) : Math.round(milliseconds)} ms`;
  if (milliseconds < 60_000) return `${tenths.format(milliseconds / 1_000)} s`;
  const seconds = Math.round(milliseconds / 1_000);
  return `${number(Math.floor(seconds / 60))} min ${seconds % 60} s`;
}

/** Seconds in the largest unit that fits. */
export function age(seconds) {
  for (const [length, one, many] of [[86_400, "day", "days"], [3_600, "hour", "hours"], [60, "minute", "minutes"]]) {
    if (seconds >= length) return counted(Math.floor(seconds / length), one, many);
  }
  return counted(Math.floor(seconds), "second", "seconds");
}

/** A token or id, cut to its beginning if it is long. */
export function short(text, length = 8) {
  return text.length > length ? `${text.slice(0, length)}…` : text;
}
