// The form that asks for a key if no link has brought one.

import { ask, Refusal } from "./api.js";
import { element, entitle, fill, freshId } from "./dom.js";
import { isClosed } from "./states.js";

const CLOSED = "This key has no access: it is unknown here, or lacks the scope “read”.";
const SENDABLE = /^[\x21-\x7e]+$/; // characters allowed in a header

/** Why the key may not read; "" if it may, or if nobody can tell now: the views say so, and recover. */
export async function whyNot(apiKey) {
  if (!SENDABLE.test(apiKey)) return CLOSED;
  try {
    await ask("contract", { apiKey });
    return "";
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    return isClosed(error) ? CLOSED : "";
  }
}

export function signInForm(place, reason, enter) {
  const id = freshId();
  const field = element("input", { id, type: "password", autocomplete: "off", spellcheck: "false", autocapitalize: "off", required: true, "aria-describedby": `${id}-said`, "aria-invalid": String(reason !== "") });
  const said = element("p", { class: "said", role: "alert", id: `${id}-said` }, reason);
  const button = element("button", { class: "main" }, "Sign in");
  const submit = async (event) => {
    event.preventDefault();
    button.disabled = true;
    const apiKey = field.value.trim();
    said.textContent = await whyNot(apiKey);
    button.disabled = false;
    field.setAttribute("aria-invalid", String(said.textContent !== ""));
    if (!said.textContent) enter(apiKey);
    else field.focus();
  };
  entitle("Sign in");
  fill(
    place,
    element(
      "section",
      { class: "sign-in" },
      element("h1", { tabindex: -1 }, "The wine, without the sediment."),
      element("p", { class: "lead" }, "Decant stores people from a third-party API, with keyed tokens in place of their names, addresses and numbers. Sign in with an API key."),
      element("form", { submit }, element("label", { for: id }, "API key"), element("div", { class: "together" }, field, button), said),
      element("p", { class: "fine" }, element("code", {}, "make run"), " prints a link with a key that is valid while it runs; ", element("code", {}, "make api-key"), " creates another. The key is kept in this tab until you sign out or close it."),
    ),
  );
  field.focus();
}
