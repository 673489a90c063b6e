// The API key, kept in this tab (and in a duplicate of it): not in a cookie, and not in the address.

const PLACE = "decant-key";
const IN_ADDRESS = "#key=";

export const key = () => sessionStorage.getItem(PLACE);
export const keep = (value) => sessionStorage.setItem(PLACE, value);
export const forget = () => sessionStorage.removeItem(PLACE);

/** Removes the key of `make run`'s link from the address and returns it; null if there is none. The browser's history still
 *  holds the link, but its key is valid only until that `make run` ends. */
export function takeFromAddress() {
  if (!location.hash.startsWith(IN_ADDRESS)) return null;
  const brought = location.hash.slice(IN_ADDRESS.length);
  history.replaceState(null, "", location.pathname + location.search);
  try {
    return decodeURIComponent(brought);
  } catch (error) {
    if (error instanceof URIError) return brought;
    throw error;
  }
}
