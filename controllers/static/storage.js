// What the tab keeps over a reload. The names have the path of the page, as one host may have several servers, and the
// version of what is stored, so that another version's is not read.
const PREFIX = `playground 2 ${location.pathname} `;

/** Return what is stored; null if nothing is, or the browser blocks storage. */
export function load(name) {
  try {
    return JSON.parse(sessionStorage.getItem(PREFIX + name));
  } catch {
    return null;
  }
}

/** Store a value; return false if there is no room for it. If storage is blocked, it is lost on reload. */
export function store(name, value) {
  try {
    sessionStorage.setItem(PREFIX + name, JSON.stringify(value));
    return true;
  } catch (error) {
    return error.name !== "QuotaExceededError";
  }
}
