// Builds the page's elements. Whatever is shown becomes a text node, never HTML: stored values may be hostile.

const SVG = "http://www.w3.org/2000/svg";

/** An element: attributes by name, functions as listeners, `vars` as CSS custom properties; then its children. */
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

/** Puts these children in place of what a node holds. */
export function fill(node, ...children) {
  node.replaceChildren(...present(children));
  return node;
}

function present(children) {
  return children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false);
}

let names = 0;

/** An id that no other element has, for labels. */
export function freshId() {
  names += 1;
  return `n${names}`;
}

/** A field of a form under its label. */
export function labelled(label, input) {
  const id = freshId();
  input.setAttribute("id", id);
  return element("div", { class: "field" }, element("label", { for: id }, label), input);
}

const KEPT_MESSAGES = 5;

/** Tells those who listen rather than look. A message never takes the place of one that may not be read yet. */
export function announce(text) {
  const announcer = document.getElementById("announcer");
  announcer.append(element("p", {}, text));
  if (announcer.childElementCount > KEPT_MESSAGES) announcer.firstElementChild.remove();
}

/** Hands the browser a file to save. */
export function save(name, parts, media) {
  const address = URL.createObjectURL(new Blob(parts, { type: media }));
  element("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}
