// A list's address; and the way from a list to one of its rows, and back: to the same page of the list, with the focus on the same row.

import { element } from "./dom.js";

let opened = null; // the link of the row (or of the bar) opened last, what it is, and the address of its list

/** The address of a list, with the parameters that have a value. */
export function listAt(list, query) {
  const search = new URLSearchParams(Object.entries(query).filter(([, value]) => value)).toString();
  return search ? `${list}?${search}` : list;
}

/** Hears the clicks in a list, or a chart. */
export function remember({ target }) {
  const kind = ["tbody a", "a.bar"].find((one) => target.closest(one));
  if (kind) opened = { row: target.closest(kind).getAttribute("href"), kind, list: location.hash };
}

/** The link from a row's view to the list that it was opened from, or else to the whole list. */
export function upLink(list, name) {
  const isBack = opened?.row === location.hash && opened.list.startsWith(list);
  return element("p", { class: "back" }, element("a", { href: isBack ? opened.list : list }, isBack ? "Back to the list" : name));
}

/** Moves the focus to the row that the user has come back from. */
export function backTo(list) {
  if (opened?.list === location.hash) list.querySelector(`${opened.kind}[href="${opened.row}"]`)?.focus();
  opened = null;
}
