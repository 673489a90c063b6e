// Finds people by a raw value. It goes in the request's body, appears in no address, and leaves the form at once.

import { ask } from "./api.js";
import { announce, element, fill, labelled } from "./dom.js";
import { peopleTable } from "./listing.js";
import { complaint } from "./states.js";
import { counted } from "./words.js";

const FIELDS = [
  ["email", "e-mail address"],
  ["username", "username"],
  ["phone_number", "phone number"],
  ["social_insurance_number", "insurance number"],
  ["first_name", "first name"],
  ["last_name", "last name"],
  ["street", "street address, street name"],
];
const TYPOS = {
  email: [/@/, "An e-mail address contains an “@”."],
  phone_number: [/\p{Nd}/u, "A phone number contains digits."],
};
const MOST = 100;

/** The form, and the place where the answer will appear. */
export function lookup(custom, signal) {
  const field = element("select", {}, FIELDS.map(([value, label]) => element("option", { value }, label)));
  custom.then((of) => field.append(...of("token").map((name) => element("option", { value: `custom.${name}` }, name))));
  const value = element("input", { type: "text", autocomplete: "off", spellcheck: "false", autocapitalize: "off", required: true, maxlength: 702 });
  const answer = element("section", { class: "card answer" });
  const show = (...nodes) => {
    fill(answer, nodes);
    answer.scrollIntoView({ block: "nearest" });
  };
  const check = () => {
    const [looks, typo] = TYPOS[field.value] ?? [/^/, ""];
    value.setCustomValidity(!value.value || looks.test(value.value) ? "" : typo);
  };
  let asked = 0;
  const find = async (event) => {
    event.preventDefault();
    asked += 1;
    const mine = asked; // an answer that arrives after a newer query is discarded
    const [outer, inner] = field.value.split(".");
    const body = { [outer]: inner ? { [inner]: value.value } : value.value };
    const label = field.selectedOptions[0].textContent;
    value.value = "";
    show(element("p", { class: "fine" }, "Loading …"));
    try {
      const { data } = await ask("users/lookup", { method: "POST", query: { limit: MOST }, body, signal });
      if (mine === asked) show(found(data, label));
    } catch (error) {
      if (mine === asked && error.name !== "AbortError") show(element("p", { class: "said", role: "alert" }, complaint(error, "read")));
    }
  };
  const form = element(
    "details",
    { class: "card tool", open: matchMedia("(min-width: 60rem)").matches },
    element("summary", {}, element("h2", {}, "Look up")),
    element(
      "form",
      { class: "fields", submit: find, input: check },
      labelled("Field", field),
      labelled("Raw value", value),
      element("div", { class: "buttons" }, element("button", { class: "main" }, "Look up")),
      element("p", { class: "fine" }, "The value becomes a token before the database is queried, and appears in no URL and no log."),
    ),
  );
  return [form, answer];
}

function found({ items, next }, label) {
  const text = items.length ? `${next ? "The first " : ""}${counted(items.length, "person", "people")} with this ${label}.` : `No stored person has exactly this ${label}.`;
  announce(text);
  return [element("p", { class: "said" }, text), items.length > 0 && peopleTable("People found", items)];
}
