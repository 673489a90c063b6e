// People as rows of a table, as they are stored.

import { element } from "./dom.js";
import { table } from "./table.js";
import { date, timestamp } from "./words.js";

export function peopleTable(caption, items) {
  return table(caption, [
    { title: "Person", cell: ({ uid }) => element("a", { href: `#/people/${uid}` }, element("code", { class: "cut", title: uid }, uid)) },
    { title: "E-mail", cell: ({ email }) => token(email), extra: true },
    { title: "Born", cell: (person) => person.birth_year ?? "–", numeric: true },
    { title: "Gender", cell: ({ gender }) => gender ?? "–", extra: true },
    { title: "City", cell: ({ address }) => address.city ?? "–" },
    { title: "Country", cell: ({ address }) => address.country ?? "–" },
    { title: "Plan", cell: ({ subscription }) => subscription.plan ?? "–", extra: true },
    { title: "Changed", cell: (person) => timestamp(person.updated_at, date), extra: true },
  ], items);
}

function token(value) {
  return value === null ? "–" : element("code", { class: "token cut", title: value }, value);
}
