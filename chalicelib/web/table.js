// Tables that scroll horizontally on their own when they are too wide, by keyboard too.

import { element, freshId } from "./dom.js";

/** Columns are `{ title, cell, numeric, extra }`; extra columns are hidden on narrow screens.
 * With the manner `wrapping`, names wrap rather than widen the table. */
export function table(caption, columns, rows, manner = null) {
  const id = freshId();
  const place = element(
    "div",
    { class: "scroll", role: "region", "aria-labelledby": id },
    element(
      "table",
      { class: manner },
      element("caption", { id }, caption),
      element("thead", {}, element("tr", {}, columns.map((column) => element("th", { scope: "col", class: kind(column) }, column.title)))),
      element("tbody", {}, rows.map((row) => element("tr", {}, columns.map((column, at) => cell(column, row, at))))),
    ),
  );
  new ResizeObserver(() => reach(place)).observe(place);
  return place;
}

/** Only what scrolls is worth a stop of the tab key. */
function reach(place) {
  if (place.scrollWidth > place.clientWidth) place.setAttribute("tabindex", 0);
  else place.removeAttribute("tabindex");
}

function cell(column, row, at) {
  const attributes = { class: kind(column) };
  return at ? element("td", attributes, column.cell(row)) : element("th", { ...attributes, scope: "row" }, column.cell(row));
}

const kind = ({ numeric, extra }) => [numeric && "numeric", extra && "extra"].filter(Boolean).join(" ") || null;
