// What a view shows instead of data: loading, empty, not allowed, failed.

import { Refusal } from "./api.js";
import { element, fill } from "./dom.js";
import { forget } from "./session.js";

export function loading(what) {
  return element("p", { class: "state loading", role: "status" }, `Asking for ${what} …`);
}

export function empty(title, text, ...more) {
  return element("div", { class: "state" }, element("h2", {}, title), element("p", {}, text), more);
}

/** A failed request in words, with a button to go on if there is something to try. */
export function failure(error, again) {
  if (!(error instanceof Refusal)) throw error;
  const { title, text } = told(error);
  return element(
    "div",
    { class: "state failed", role: "alert" },
    element("h2", {}, title),
    element("p", {}, text),
    error.requestId && element("p", { class: "fine" }, "In the log: ", element("code", {}, error.requestId)),
    wayOn(error, again),
  );
}

/** The same in one line, for a form; `scope` is the scope that its action needs. */
export function complaint(error, scope) {
  if (!(error instanceof Refusal)) throw error;
  if (isClosed(error)) return `This key may not do that. It takes one with the scope “${scope}”.`;
  const { title, text } = told(error);
  return `${title}. ${text}`;
}

export const isClosed = (error) => error.status === 401 || error.status === 403;

function told(error) {
  if (isClosed(error)) {
    return { title: "This key does not open that", text: "It takes a key with the scope “read”. This one has not got it, or is valid no longer." };
  }
  if (error.status === 0) {
    return { title: "Decant does not answer", text: "The server is away, or the network is. What you see comes back when it does." };
  }
  if (error.status === 503 && !error.detail) {
    return { title: "Postgres is away", text: "Nothing is lost: nothing can be read or written until it is back. Single people may still come from Redis." };
  }
  if (error.status === 404) return { title: "Not found", text: "It is not there, or not any more." };
  return { title: error.title || "That did not work", text: error.detail || `The server said ${error.status}.` };
}

function wayOn(error, again) {
  if (isClosed(error)) return element("button", { type: "button", click: leave }, "Sign in with another key");
  return again && element("button", { type: "button", click: again }, "Ask again");
}

function leave() {
  forget();
  location.reload();
}

/** Fills a place with what `draw` makes of `load`'s result; before that with a loading state, or on failure with the reason. */
export async function show(place, what, load, draw) {
  const held = place.contains(document.activeElement);
  fill(place, loading(what));
  try {
    fill(place, draw(await load()));
  } catch (error) {
    if (error.name !== "AbortError") fill(place, failure(error, () => show(place, what, load, draw)));
  }
  if (held) place.querySelector("button, a, [tabindex]")?.focus();
}
