// Exports everyone who matches the filters, page by page, into one file. Shows its progress and can be stopped.

import { askText } from "./api.js";
import { announce, element, fill, remark, save } from "./dom.js";
import { pause } from "./poll.js";
import { complaint } from "./states.js";
import { counted, isoDate } from "./words.js";

const PAGE = 1_000;
const PAUSES = [1, 3]; // seconds
const PASSING = [0, 429, 502, 503, 504]; // statuses that a retry may change
const FORMS = [
  { name: "CSV", media: "text/csv", hasHead: true },
  { name: "NDJSON", media: "application/x-ndjson", hasHead: false },
];

export function exportPart(filters, signal) {
  const said = element("p", { class: "said" });
  const buttons = FORMS.map((form) => element("button", { type: "button", click: () => run(form) }, form.name));
  const place = element("div", { class: "exports" }, element("h2", {}, Object.keys(filters).length ? "Export all matches" : "Export all people"), element("div", { class: "buttons" }, buttons), said);
  async function run(form) {
    const file = `people-${isoDate(Date.now())}.${form.name.toLowerCase()}`;
    const stop = new AbortController();
    const stopped = AbortSignal.any([signal, stop.signal]);
    const soFar = element("span", {}, "Loading …");
    const tell = (count) => { soFar.textContent = `${counted(count, "person", "people")} so far …`; };
    for (const button of buttons) button.disabled = true;
    fill(said, soFar, " ", element("button", { type: "button", class: "quiet", click: () => stop.abort() }, "Stop"));
    said.lastChild.focus(); // the button that started it is disabled and cannot hold the focus
    try {
      const { parts, count } = await collect(form, filters, stopped, tell);
      save(file, parts, form.media);
      end(`${counted(count, "person", "people")} in ${file}.`);
    } catch (error) {
      if (signal.aborted) return remark(element("p", {}, `The export to ${file} stopped because its view was left. Nothing was saved.`));
      end(error.name === "AbortError" ? "Stopped; nothing was saved." : `${complaint(error, "read")} Nothing was saved.`);
    }
    function end(text) {
      const held = said.contains(document.activeElement);
      for (const button of buttons) button.disabled = false;
      fill(said, text);
      announce(text);
      if (held) buttons[FORMS.indexOf(form)].focus();
    }
  }
  return place;
}

async function collect({ media, hasHead }, filters, signal, tell) {
  const parts = [];
  let count = 0;
  let cursor = null;
  do {
    const query = { ...filters, limit: PAGE, cursor };
    const page = await patiently(() => askText("users", { query, accept: media, signal }), signal);
    parts.push(hasHead && cursor ? page.text.slice(page.text.indexOf("\n") + 1) : page.text);
    count += rows(page.text, hasHead); // a page of long texts holds fewer rows than requested
    tell(count);
    ({ cursor } = page);
  } while (cursor);
  return { parts, count };
}

/** Repeats a request that fails for a reason that passes, so that an export of many pages does not end with it. */
async function patiently(work, signal) {
  for (const seconds of PAUSES) {
    try {
      return await work();
    } catch (error) {
      if (!PASSING.includes(error.status)) throw error;
    }
    await pause(seconds, signal);
    signal.throwIfAborted();
  }
  return work();
}

/** Counts lines that end outside quotes, without the header. */
function rows(text, hasHead) {
  const unquoted = hasHead ? text.split('"').filter((_, at) => at % 2 === 0) : [text];
  const lines = unquoted.reduce((sum, part) => sum + part.split("\n").length - 1, 0);
  return lines - (hasHead ? 1 : 0);
}
