// Elements, made so that whatever a model says stays text: nothing here parses HTML.

/** An element with properties (a name with a dash, or `role`, is an attribute) and children: elements or text. */
export function element(name, properties = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key.includes("-") || key === "role") made.setAttribute(key, value);
    else made[key] = value;
  }
  made.append(...children);
  return made;
}

/** An error as a sentence, and what it is looked up by. */
export function errorBox({ message, status, code, requestId }) {
  const facts = [status, code, requestId && `request ${requestId}`].filter(Boolean).join(" · ");
  const made = element("div", { className: "error", role: "alert" }, element("p", {}, message));
  if (facts) made.append(element("small", {}, facts));
  return made;
}

/** The element of the page with this id. */
export const byId = (id) => document.getElementById(id);

/** Whether a key that is pressed sends what was written: no Enter that ends the composing of a word, 229 in Safari. */
export const sends = (event) => event.key === "Enter" && !event.shiftKey && !event.isComposing && event.keyCode !== 229;

/** The key of the API, if this tab keeps one: a browser may forbid it. */
export function keptKey() {
  try {
    return sessionStorage.getItem("key") ?? "";
  } catch {
    return "";
  }
}

/** Keep the key of the API for this tab, where the browser allows it. */
export function keepKey(key) {
  try {
    sessionStorage.setItem("key", key);
  } catch {
    // then it is asked for again
  }
}

/** A button that copies what `text()` returns, and says so for a moment. */
export function copyButton(label, text) {
  const button = element("button", { type: "button", className: "quiet", textContent: label });
  button.addEventListener("click", async () => {
    button.textContent = (await copy(text())) ? "Copied" : "Select it by hand";
    setTimeout(() => (button.textContent = label), 1500);
  });
  return button;
}

/** Put a text on the clipboard; false where the browser forbids it, as it does over plain HTTP. */
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false;
  }
}
