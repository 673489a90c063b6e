// What a view shows instead of data: loading, empty, not allowed, failed.

import { Refusal } from "./api.js";
import { element, fill } from "./dom.js";
import { forget } from "./session.js";

export function loading(what) {
  return element("p", { class: "state loading", role: "status" }, `Loading ${what} …`);
}

export function empty(title, text, ...more) {
  return element("div", { class: "state" }, element("h2", {}, title), element("p", {}, text), more);
}

/** A failed request in words, with a button to go on if there is something to try. */
export function failure(error, again) {
  if (!(error instanceof Refusal)) throw error;
  const { title, text } = explain(error);
  return element(
    "div",
    { class: "state failed", role: "alert" },
    element("h2", {}, title),
    element("p", {}, text, !again && isAway(error) && " This view updates when it is back."),
    error.requestId && element("p", { class: "fine" }, "Request id: ", element("code", {}, error.requestId)),
    wayOn(error, again),
  );
}

/** The same in one line, for a form: `scope` is what its action needs, `unknown` what to say if it may have happened. */
export function complaint(error, scope, unknown = "") {
  if (!(error instanceof Refusal)) throw error;
  if (unknown && isUnknown(error)) return `The outcome is unknown: ${unknown}`;
  if (isClosed(error)) return `This key does not have the scope “${scope}”, or is no longer valid.`;
  const { title, text } = explain(error);
  return error.status && error.detail ? `${title}: ${text}.` : `${title}. ${text}`; // the API's details are no sentences
}

export const isClosed = (error) => error.status === 401 || error.status === 403;

/** A retry does not change it. */
export const isLasting = (error) => [400, 401, 403, 404].includes(error.status);

/** Without an answer, or after a failure without a detail, what was requested may have happened. */
const isUnknown = (error) => error.status === 0 || (error.status >= 500 && !error.detail);

/** No answer, or no Postgres: a view that polls recovers from it by itself. */
const isAway = (error) => error.status === 0 || isWithoutPostgres(error);
const isWithoutPostgres = (error) => error.status === 503 && !error.detail;

/** A failed request: a title and a text. */
export function explain(error) {
  if (isClosed(error)) {
    return { title: "This key has no access", text: "This view needs a key with the scope “read”. Yours does not have it, or is no longer valid." };
  }
  if (error.status === 0) {
    return { title: error.title, text: error.detail || "The server or the network is unavailable." };
  }
  if (isWithoutPostgres(error)) {
    return { title: error.title, text: "If it is down, nothing can be changed until it is back, and only people cached in Redis can be read, one at a time. Nothing is lost." };
  }
  if (error.status === 404) return { title: "Not found", text: "It does not exist, or no longer does." };
  return { title: error.title || "The request failed", text: error.detail || `The server answered with status ${error.status}.` };
}

function wayOn(error, again) {
  if (isClosed(error)) return element("button", { type: "button", click: leave }, "Sign in with another key");
  return again && !isLasting(error) && element("button", { type: "button", click: again }, "Try again");
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
