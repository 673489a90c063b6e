// The people, a page at a time. Filters and the page's cursor are part of the address; looked-up values never are.

import { ask } from "./api.js";
import { announce, element, fill } from "./dom.js";
import { exportPart } from "./exports.js";
import { filterForm, filtersOf } from "./filters.js";
import { peopleTable } from "./listing.js";
import { lookup } from "./lookup.js";
import { backTo, listAt, remember } from "./rows.js";
import { empty, show } from "./states.js";
import { counted } from "./words.js";

const SHOWN = 50;
const pageBefore = new Map(); // the previous page's cursor by cursor, for pages turned in this tab

export function people(place, signal, search = "") {
  const query = Object.fromEntries(new URLSearchParams(search));
  const filters = filtersOf(query);
  const list = element("div", { click: remember });
  const custom = customFields(signal);
  fill(
    place,
    element("h1", { tabindex: -1 }, "People"),
    element("p", { class: "lead" }, "As they are stored: identifying values are replaced by tokens."),
    element("div", { class: "tools" }, filterForm(filters, custom, signal), lookup(custom, signal)),
    element("section", { class: "card", "aria-label": "People" }, list),
  );
  const load = () => ask("users", { query: { ...filters, cursor: query.cursor, limit: SHOWN }, signal });
  show(list, "people", load, ({ data }) => drawn(data, query, filters, signal)).then(() => backTo(list));
}

/** The fields that the source adds, by treatment; none if they are not available. */
async function customFields(signal) {
  const { data } = await ask("contract", { signal }).catch(() => ({ data: { fields: [] } }));
  return (treatment) => data.fields.filter((field) => field.path.startsWith("custom.") && field.treatment === treatment).map(({ path }) => path.slice("custom.".length));
}

function drawn({ items, next }, query, filters, signal) {
  const filtered = Object.keys(filters).length > 0;
  if (!items.length) {
    announce(filtered ? "No matches." : "No people stored yet.");
    return filtered
      ? empty("No matches", "Text filters match the stored value exactly, including upper and lower case.", element("p", {}, element("a", { href: "#/people" }, "Clear filters")))
      : empty("No people stored yet", "The first run loads them.", element("p", {}, element("a", { href: "#/" }, "Go to the runs")));
  }
  announce(counted(items.length, "person", "people"));
  return [peopleTable(filtered ? "Matching people, by id" : "All people, by id", items), pages(query, filters, next), exportPart(filters, signal)];
}

function pages(query, filters, next) {
  const to = (cursor) => listAt("#/people", { ...filters, cursor });
  if (next) pageBefore.set(next, query.cursor);
  const before = pageBefore.get(query.cursor); // of the second page none: it has the link to the first
  return element(
    "nav",
    { class: "pages", "aria-label": "Pages of people" },
    query.cursor && element("a", { href: to() }, "First page"),
    before && element("a", { href: to(before), rel: "prev" }, "Previous page"),
    next ? element("a", { href: to(next), rel: "next", class: "next" }, "Next page") : query.cursor && element("span", { class: "fine" }, "Last page"),
  );
}
