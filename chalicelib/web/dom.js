// Builds the page's elements. All text becomes text nodes, never HTML: stored values may be hostile.

const SVG = "http://www.w3.org/2000/svg";

/** Creates an element with its children. Attributes that are functions become listeners; `vars`, CSS custom properties. */
export function element(tag, attributes = {}, ...children) {
  return dress(document.createElement(tag), attributes, children);
}

/** The same for SVG. */
export function svg(tag, attributes = {}, ...children) {
  return dress(document.createElementNS(SVG, tag), attributes, children);
}

function dress(node, { vars = {}, ...attributes }, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") node.addEventListener(name, value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) node.setAttribute(name, value);
  }
  for (const [name, value] of Object.entries(vars)) node.style.setProperty(`--${name}`, value);
  node.append(...present(children));
  return node;
}

/** Replaces a node's children. */
export function fill(node, ...children) {
  node.replaceChildren(...present(children));
  return node;
}

/** The same, but not if nothing would change: the focus and the selection in them stay. For children without listeners. */
export function refill(node, ...children) {
  const fresh = fill(node.cloneNode(false), ...children);
  if (!fresh.isEqualNode(node)) fill(node, ...fresh.childNodes);
}

/** Whether the user has selected something in a node: replacing its children would clear that. */
export function isSelected(node) {
  const selection = getSelection();
  return !selection.isCollapsed && selection.containsNode(node, true);
}

function present(children) {
  return children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false);
}

let names = 0;

/** A unique element id, for labels. */
export function freshId() {
  names += 1;
  return `n${names}`;
}

/** A form field under its label. */
export function labelled(label, input) {
  const id = freshId();
  input.setAttribute("id", id);
  return element("div", { class: "field" }, element("label", { for: id }, label), input);
}

/** A part of a view, under its heading. */
export function card(title, ...children) {
  return element("section", { class: "card" }, element("h2", {}, title), children);
}

/** What is known of a thing: pairs of a name and a value. */
export function facts(pairs, kind = "facts") {
  return element("dl", { class: kind }, pairs.map(([name, value]) => element("div", {}, element("dt", {}, name), element("dd", {}, value))));
}

/** A bar that fills the share, from 0 to 1, of its place. Only a picture: the text beside it says the same. */
export function gauge(tag, share, kind = "") {
  return element(tag, { class: "gauge", "aria-hidden": "true" }, element("span", { class: `fill ${kind}`, vars: { share } }));
}

/** Names the view, in the browser's tab and its history. */
export function entitle(text) {
  document.title = `${text} · Decant`;
}

/** Says below a form that its action is in progress. */
export function report(place, text) {
  place.removeAttribute("role");
  place.textContent = text;
  announce(text);
}

/** Says below a form what went wrong. */
export function complain(place, text) {
  place.setAttribute("role", "alert");
  place.textContent = text;
}

const KEPT_MESSAGES = 5;

/** Announces a message to screen readers. It never replaces one that may not have been read out yet. */
export function announce(text) {
  const announcer = document.getElementById("announcer");
  announcer.append(element("p", {}, text));
  if (announcer.childElementCount > KEPT_MESSAGES) announcer.firstElementChild.remove();
}

/** Shows what the user must not miss although the view it belongs to is gone, until it is closed. */
export function remark(node) {
  const close = element("button", { type: "button", class: "quiet", click: () => shown.remove() }, "Close");
  const shown = element("aside", { class: "card remark", role: "alert" }, node, close);
  document.getElementById("main").before(shown);
}

/** Gives the browser a file to save. */
export function save(name, parts, media) {
  const address = URL.createObjectURL(new Blob(parts, { type: media }));
  element("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}
