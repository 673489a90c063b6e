// The API key, kept in this tab (and in a duplicate of it): not in a cookie, and not in the address.

const PLACE = "decant-key";
const IN_ADDRESS = "#key=";

const storage = tabStorage();

export const key = () => storage.getItem(PLACE);
export const keep = (value) => storage.setItem(PLACE, value);
export const forget = () => storage.removeItem(PLACE);

/** The tab's storage. Where the browser denies it, as with all cookies blocked, the key lasts until the page is loaded again. */
function tabStorage() {
  try {
    return sessionStorage;
  } catch (error) {
    if (error.name !== "SecurityError") throw error;
    const kept = new Map();
    return { getItem: (name) => kept.get(name) ?? null, setItem: (name, value) => kept.set(name, value), removeItem: (name) => kept.delete(name) };
  }
}

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
