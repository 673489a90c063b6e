// One person as stored, where the data was found and how long it took; and the button to erase the person.

import { ask } from "./api.js";
import { announce, card, element, entitle, facts, fill, gauge } from "./dom.js";
import { eraseButton } from "./erase.js";
import { upLink } from "./rows.js";
import { failure, loading } from "./states.js";
import { duration, timestamp } from "./words.js";

const SECTIONS = [
  {
    title: "Tokens",
    note: "Identifying values. Equal values have equal tokens. A guess at a value can be checked only with the key that made the token.",
    rows: (person) => [
      ["First name", person.first_name], ["Last name", person.last_name], ["Username", person.username], ["E-mail", person.email],
      ["Phone", person.phone_number], ["Insurance number", person.social_insurance_number], ["Street", person.address.street],
    ],
    isToken: true,
  },
  {
    title: "Generalised",
    note: "Stored with less detail.",
    rows: ({ birth_year: year, address }) => [
      ["Born", year], ["Zip code prefix", address.zip_prefix], ["Approximate location", about(address.coordinates)],
    ],
  },
  {
    title: "Kept",
    note: "Stored as received, after cleaning.",
    rows: ({ gender, employment, subscription, address }) => [
      ["Gender", gender], ["City", address.city], ["State", address.state], ["Country", address.country],
      ["Job", employment.title], ["Key skill", employment.key_skill],
      ["Plan", subscription.plan], ["Plan status", subscription.status], ["Payment method", subscription.payment_method], ["Term", subscription.term],
    ],
  },
  {
    title: "Custom",
    note: "Fields that are this source’s own.",
    rows: ({ custom }) => Object.entries(custom ?? {}),
  },
];

export function personView(place, signal, uid) {
  entitle(`Person ${uid.slice(0, 8)}`);
  const asks = [];
  let isErased = false;
  const history = element("ol", { class: "asks" });
  const again = element("button", { type: "button", click: () => look() }, "Load again");
  const body = element("div", {}, loading("the person"));
  const origin = element(
    "section",
    { class: "card", hidden: true },
    element("div", { class: "part-head" }, element("h2", {}, "Source and response time"), again),
    history,
  );
  fill(
    place,
    upLink("#/people", "All people"),
    element("h1", { tabindex: -1 }, "Person"),
    element("p", { class: "lead" }, element("code", {}, uid)),
    origin,
    body,
  );
  /** The receipt of an erasure, or the dialog that asks for one, must not be replaced by an answer that comes late. */
  const mayRedraw = () => !isErased && !body.querySelector("dialog[open]");
  const showReceipt = (receipt) => {
    isErased = true;
    origin.remove();
    fill(body, receipt);
  };
  async function look() {
    const held = [again, ...body.querySelectorAll(".failed button")].includes(document.activeElement);
    again.disabled = true;
    try {
      const answer = await ask(`users/${uid}`, { signal });
      if (!mayRedraw()) return;
      asks.push(answer);
      origin.hidden = false;
      fill(history, answered(asks));
      announce(`${sourceOf(answer)}, ${duration(answer.milliseconds)}.`);
      fill(body, drawn(answer.data), eraseButton(answer.data.uid, showReceipt));
    } catch (error) {
      if (error.name !== "AbortError" && mayRedraw()) fill(body, failure(error, look));
    } finally {
      again.disabled = false;
      if (held) (body.querySelector(".failed button") ?? again).focus();
    }
  }
  look();
}

const sourceOf = ({ source }) => (source === "redis" ? "Redis" : "Postgres");

/** Each answer with its source, its time, and a bar in proportion to it. */
function answered(asks) {
  const slowest = Math.max(...asks.map(({ milliseconds }) => milliseconds));
  return asks.map(({ source, milliseconds }) => element(
    "li",
    {},
    element("span", { class: `badge ${source}` }, sourceOf({ source })),
    gauge("span", milliseconds / slowest, source),
    element("span", { class: "numeric" }, duration(milliseconds)),
  ));
}

function drawn(person) {
  const [tokens, generalised, kept, custom] = SECTIONS.map((section) => [section, section.rows(person)]).map(([section, rows]) => rows.length > 0 && card(
    section.title,
    element("p", { class: "fine" }, section.note),
    facts(rows.map(([name, value]) => [name, shown(value, section.isToken)]), "facts stacked"),
  ));
  return [
    element("p", { class: "fine version" }, `Version ${person.version}, changed `, timestamp(person.updated_at), "."),
    element("div", { class: "columns" }, element("div", {}, tokens, generalised), element("div", {}, kept, custom)), // of about the same height
  ];
}

const TOKEN = /^v\d+_[\w-]{24}$/; // only the server knows which custom fields are tokens

const about = ({ lat, lng }) => (lat === null || lng === null ? null : `${lat}°, ${lng}°`);

function shown(value, isToken) {
  if (value === null) return element("span", { class: "fine" }, "not stored");
  if (Array.isArray(value)) return element("span", {}, ...value.flatMap((one, place) => [place > 0 && ", ", shown(one, isToken)]));
  return isToken || TOKEN.test(value) ? element("code", { class: "token" }, value) : String(value);
}
