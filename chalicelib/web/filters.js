// The filters for people. Suggestions come from the statistics, if those are available.

import { ask } from "./api.js";
import { element, fill, freshId, labelled } from "./dom.js";
import { listAt } from "./rows.js";

const FILTERS = [
  { name: "country", label: "Country", suggested: true },
  { name: "state", label: "State" },
  { name: "city", label: "City" },
  { name: "gender", label: "Gender", suggested: true },
  { name: "plan", label: "Plan", suggested: true },
];

/** The filters among an address's parameters. */
export function filtersOf(query) {
  const names = [...FILTERS.map(({ name }) => name), "updated_since", ...Object.keys(query).filter((name) => /^custom\[\w+\]$/.test(name))];
  return Object.fromEntries(names.filter((name) => query[name]).map((name) => [name, query[name]]));
}

export function filterForm(filters, custom, signal) {
  const field = (filter, maxlength = 200) => ({ ...filter, input: element("input", { name: filter.name, value: filters[filter.name] ?? "", maxlength, autocomplete: "off" }) });
  const fields = FILTERS.map((filter) => field(filter));
  const since = element("input", { name: "updated_since", type: "datetime-local", value: filters.updated_since ? local(filters.updated_since) : "" });
  const apply = (event) => {
    event.preventDefault();
    const entered = Object.fromEntries(fields.map(({ name, input }) => [name, input.value]));
    const wanted = { ...filters, ...entered, updated_since: since.value && new Date(since.value).toISOString() };
    const address = listAt("#/people", wanted);
    if (address === location.hash) dispatchEvent(new Event("hashchange")); // asks again
    else location.hash = address;
  };
  const changed = labelled("Changed since", since);
  custom.then((of) => {
    const added = of("keep").map((name) => field({ name: `custom[${name}]`, label: name }, 500));
    changed.before(...added.map(({ label, input }) => labelled(label, input)));
    fields.push(...added);
  });
  suggest(fields, signal);
  const count = Object.keys(filters).length;
  return element(
    "details",
    { class: "card tool", open: count > 0 || matchMedia("(min-width: 60rem)").matches },
    element("summary", {}, element("h2", {}, count ? `Filter (${count})` : "Filter")),
    element(
      "form",
      { class: "fields", submit: apply },
      fields.map(({ label, input }) => labelled(label, input)),
      changed,
      element("div", { class: "buttons" }, element("button", { class: "main" }, "Apply"), count > 0 && element("a", { href: "#/people" }, "Clear filters")),
    ),
  );
}

async function suggest(fields, signal) {
  const stats = await ask("stats", { signal }).catch(() => null); // only a convenience
  for (const { name, input, suggested } of stats ? fields : []) {
    if (suggested) {
      const id = freshId();
      input.setAttribute("list", id);
      input.after(fill(element("datalist", { id }), stats.data[name].filter(({ value }) => value !== null).map(({ value }) => element("option", { value }))));
    }
  }
}

/** A UTC timestamp in the format of the form's field, in the user's time zone. */
function local(moment) {
  const when = new Date(moment);
  if (Number.isNaN(Number(when))) return ""; // the API reports what is wrong with it
  return new Date(when - when.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}
