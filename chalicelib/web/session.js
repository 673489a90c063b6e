// The API key, kept in this tab alone: never in a cookie, never in another tab, and not in the address.

const PLACE = "decant-key";
const IN_ADDRESS = "#key=";

export const key = () => sessionStorage.getItem(PLACE);
export const keep = (value) => sessionStorage.setItem(PLACE, value);
export const forget = () => sessionStorage.removeItem(PLACE);

/** Takes the key that `make run`'s link brought out of the address; null if there is none. The browser's own history keeps
 *  the link, whose key ends with that `make run`. */
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
