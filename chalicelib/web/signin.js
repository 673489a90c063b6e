// The form that asks for a key if no link has brought one.

import { ask, Refusal } from "./api.js";
import { complain, element, entitle, fill, freshId, report } from "./dom.js";
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
    report(said, "Signing in …");
    const apiKey = field.value.trim();
    const refused = await whyNot(apiKey);
    button.disabled = false;
    field.setAttribute("aria-invalid", String(refused !== ""));
    if (!refused) return enter(apiKey);
    complain(said, refused);
    field.focus();
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
      element("p", { class: "fine" }, element("code", {}, "make run"), " prints a link with a key that is valid while it runs; ", element("code", {}, "make api-key"), " creates another. The key is kept in this tab until you sign out or close it. A link that you open in a new tab asks for it again; a duplicate of this tab does not."),
    ),
  );
  field.focus();
}
