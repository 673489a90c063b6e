// The only module that calls the server. URLs are relative to this file's own, so any path prefix works.

import { key } from "./session.js";

const ROOT = new URL("../../", import.meta.url);
const PATIENCE_MILLISECONDS = 30_000; // API Gateway's own timeout is a little shorter
const HEALTH_PATIENCE_MILLISECONDS = 12_000; // the server itself seldom waits longer for Postgres and Redis
const JSON_TYPE = "application/json";
const PROBLEM = "application/problem+json";

/** Why a request failed, in the API's words; status 0 if no answer came, or none of Decant's. */
export class Refusal extends Error {
  constructor(status, { title = "", detail = "", request_id = "" } = {}) {
    super(title || `Status ${status}`);
    Object.assign(this, { status, title, detail, requestId: request_id });
  }
}

/** Requests JSON. Returns `{ data, source, milliseconds }`; throws a Refusal, or AbortError if the user left the view. */
export async function ask(path, options = {}) {
  const began = performance.now();
  const answer = await send(path, options);
  const data = await read(answer.json());
  const source = answer.headers.get("X-Data-Source");
  return { data, source, milliseconds: performance.now() - began };
}

/** Requests a page in another format, as text. Returns it with the next page's cursor, or null. */
export async function askText(path, options) {
  const answer = await send(path, options);
  const text = await read(answer.text());
  const next = /<([^>]*)>; rel="next"/.exec(answer.headers.get("Link") ?? "");
  return { text, cursor: next && new URL(next[1], ROOT).searchParams.get("cursor") };
}

/** The health of the servers. Here 503 counts as an answer. */
export async function askHealth(signal) {
  const answer = await fetched("health", { signal, patience: HEALTH_PATIENCE_MILLISECONDS });
  if (![200, 503].includes(answer.status) || isOf(answer, PROBLEM)) throw await refusal(answer);
  return read(genuine(answer, JSON_TYPE).json());
}

async function send(path, { method = "GET", query = {}, body, accept = JSON_TYPE, signal, apiKey = key() } = {}) {
  const headers = { Accept: accept };
  if (apiKey) headers.Authorization = `Bearer ${apiKey}`;
  if (body !== undefined) headers["Content-Type"] = JSON_TYPE;
  const answer = await fetched(path, { method, headers, query, signal, body: body && JSON.stringify(body) });
  if (!answer.ok) throw await refusal(answer);
  return genuine(answer, accept);
}

function fetched(path, { query = {}, signal, patience = PATIENCE_MILLISECONDS, ...options }) {
  const address = new URL(path, ROOT);
  for (const [name, value] of Object.entries(query)) if (value) address.searchParams.set(name, value);
  const timeout = AbortSignal.timeout(patience);
  const ended = signal ? AbortSignal.any([signal, timeout]) : timeout;
  return read(fetch(address, { ...options, signal: ended, cache: "no-store", credentials: "omit", redirect: "error" }));
}

/** Network failures, truncated bodies and timeouts all become a Refusal with status 0. */
async function read(promise) {
  try {
    return await promise;
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refusal(0, { title: "Decant does not answer" });
  }
}

const isOf = (answer, type) => (answer.headers.get("Content-Type") ?? "").startsWith(type);

/** The answer, if it is of the requested type. A proxy's sign-in page has the status 200, too. */
function genuine(answer, type) {
  if (isOf(answer, type)) return answer;
  throw new Refusal(0, { title: "Something other than Decant answered", detail: "It may be a proxy that asks you to sign in. Load the page again." });
}

async function refusal(answer) {
  return new Refusal(answer.status, isOf(answer, PROBLEM) ? await read(answer.json()) : {});
}
