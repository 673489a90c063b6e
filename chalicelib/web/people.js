// The people, a page at a time. Filters and the page's cursor are part of the address; looked-up values never are.

import { ask } from "./api.js";
import { announce, element, fill } from "./dom.js";
import { exportPart } from "./exports.js";
import { filterForm, filtersOf } from "./filters.js";
import { peopleTable } from "./listing.js";
import { lookup } from "./lookup.js";
import { empty, show } from "./states.js";
import { counted } from "./words.js";

const SHOWN = 50;
let opened = null; // the link to the person opened last
const pageBefore = new Map(); // the previous page's cursor by cursor, for pages turned in this tab

export function people(place, signal, search = "") {
  const query = Object.fromEntries(new URLSearchParams(search));
  const filters = filtersOf(query);
  const list = element("div", { click: ({ target }) => { opened = target.closest("a[href^='#/people/']")?.getAttribute("href") ?? opened; } });
  fill(
    place,
    element("h1", { tabindex: -1 }, "People"),
    element("p", { class: "lead" }, "As stored: what could name somebody is a token."),
    element("div", { class: "tools" }, filterForm(filters, signal), lookup(signal)),
    element("section", { class: "card", "aria-label": "People" }, list),
  );
  const load = () => ask("users", { query: { ...filters, ...cursorOf(query), limit: SHOWN }, signal });
  show(list, "the people", load, ({ data }) => drawn(data, query, filters, signal)).then(() => backTo(list));
}

/** After coming back from a person, moves the focus to that person's row. */
function backTo(list) {
  const link = opened && list.querySelector(`a[href="${opened}"]`);
  opened = null;
  link?.focus();
}

const cursorOf = ({ cursor }) => (cursor ? { cursor } : {});

function drawn({ items, next }, query, filters, signal) {
  const filtered = Object.keys(filters).length > 0;
  if (!items.length) {
    announce("Nobody.");
    return filtered
      ? empty("Nobody fits", "Filters match exactly what is stored, letter by letter.", element("p", {}, element("a", { href: "#/people" }, "Show everybody")))
      : empty("Nobody is stored yet", "The first run brings them.", element("p", {}, element("a", { href: "#/" }, "To the runs")));
  }
  announce(counted(items.length, "person", "people"));
  return [peopleTable(filtered ? "Those who fit, in the order of their id" : "Everybody, in the order of their id", items), pages(query, filters, next), exportPart(filters, signal)];
}

function pages(query, filters, next) {
  const to = (cursor) => `#/people?${new URLSearchParams({ ...filters, ...(cursor ? { cursor } : {}) })}`;
  if (next) pageBefore.set(next, query.cursor ?? "");
  const before = query.cursor && pageBefore.get(query.cursor);
  return element(
    "nav",
    { class: "pages", "aria-label": "Pages of people" },
    query.cursor && element("a", { href: to("") }, "First page"),
    before !== undefined && before !== "" && query.cursor && element("a", { href: to(before), rel: "prev" }, "Page before"),
    next ? element("a", { href: to(next), rel: "next", class: "next" }, "Next page") : query.cursor && element("span", { class: "fine" }, "The last page"),
  );
}
