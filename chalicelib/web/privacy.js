// What arrives, what happens to it, and what is stored; under which keys; and how far the result is from anonymous.

import { ask } from "./api.js";
import { card, element, fill, gauge } from "./dom.js";
import { show } from "./states.js";
import { table } from "./table.js";
import { counted, number, percentage } from "./words.js";

const HAPPENS = {
  token: "keyed token",
  generalise: "generalised",
  keep: "kept",
  drop: "dropped",
};

export function privacy(place, signal) {
  const contract = element("section", { class: "card" });
  const risk = element("div");
  fill(
    place,
    element("h1", { tabindex: -1 }, "Privacy"),
    element("p", { class: "lead" }, "One table, the contract, decides what happens to each field. A field that is not in it cannot be stored."),
    contract,
    risk,
  );
  show(contract, "the contract", () => ask("contract", { signal }), ({ data }) => {
    show(risk, "the statistics", () => ask("stats", { signal }), (stats) => element("div", { class: "columns" }, keysPart(stats.data), riskPart(stats.data)));
    return contractPart(data);
  });
}

function contractPart({ hash, key_version: version, key_versions: versions, fields }) {
  const order = Object.keys(HAPPENS);
  const rows = [...fields].sort((one, other) => order.indexOf(one.treatment) - order.indexOf(other.treatment));
  const known = versions.length > 1 ? `Look-ups try the keys of versions ${versions.join(", ")}.` : "No other key is set.";
  return [
    element("h2", {}, "The contract"),
    element("p", { class: "fine" }, "The hash of this version is ", element("code", {}, hash), `; each run records which version it used. Tokens are made with the key of version ${version}. ${known}`),
    table("What happens to each field", [
      { title: "Field", cell: ({ path, treatment }) => element("code", { class: treatment === "drop" ? "gone" : null }, breakable(path)) },
      { title: "Treatment", cell: ({ treatment }) => element("span", { class: `treatment ${treatment}` }, HAPPENS[treatment]) },
      { title: "Stored as", cell: stored },
    ], rows, "wrapping"),
  ];
}

function stored({ column, note, treatment }) {
  if (treatment === "drop") return element("span", { class: "fine" }, "nothing");
  return [element("code", {}, breakable(column)), note && element("span", { class: "fine" }, " ", breakable(note))];
}

/** A name that may wrap after its dots and underscores. */
function breakable(name) {
  return name.split(/(?<=[._])/).flatMap((part) => [part, element("wbr")]);
}

function keysPart(stats) {
  const rows = (counts, what) => counts.map(({ value, count }) => ({ name: `${what}, version ${value}`, count }));
  const versions = new Set([...stats.key_version, ...stats.erasure_key_version].map(({ value }) => value));
  const all = [...rows(stats.key_version, "People"), ...rows(stats.erasure_key_version, "Erasures")];
  return card(
    "Keys in use",
    all.length
      ? table("Tokens by key version", [{ title: "Key", cell: ({ name }) => name }, { title: "Count", cell: ({ count }) => number(count), numeric: true }], all)
      : element("p", { class: "fine" }, "No people or erasures are stored, so no key is needed yet."),
    versions.size > 1 && element("p", { class: "fine" }, "A key version that is no longer in use can be removed from the setting."),
  );
}

function riskPart({ risk }) {
  if (!risk.groups) return card("Re-identification risk", element("p", { class: "fine" }, "No people are stored, so there is no risk to show."));
  return card(
    "Re-identification risk",
    element("p", {}, `People with the same ${risk.quasi_identifiers.join(", ").replaceAll("_", " ")} form a group. The smallest group has ${counted(risk.k_anonymity, "person", "people")}: `, element("strong", {}, `k = ${number(risk.k_anonymity)}`), "."),
    element("p", {}, element("strong", {}, percentage(risk.share_in_small_groups)), ` of people are in groups of fewer than ${risk.small_group}. ${counted(risk.groups, "group", "groups")} in total.`),
    risk.groups === 1 && element("p", { class: "fine" }, "Everybody is alike in these fields. If they are empty, choose others to judge the risk by."),
    gauge("p", risk.share_in_small_groups),
    element("p", { class: "fine" }, risk.repetitive_tokens.length
      ? `Tokens repeat in ${risk.repetitive_tokens.map(({ column, distinct }) => `${column.replaceAll("_", " ")} (${number(distinct)} distinct)`).join(", ")}. The frequency of such a token may reveal its value.`
      : "No column’s tokens repeat so often that their frequency would reveal values."),
  );
}
