// DOM helpers. Text is inserted as text and never parsed as HTML, so a model's output cannot inject markup.

/** Create an element. A property named `role` or with a dash is an attribute; children are elements or strings. */
export function element(name, properties = {}, ...children) {
  const created = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key.includes("-") || key === "role") created.setAttribute(key, value);
    else created[key] = value;
  }
  created.append(...children);
  return created;
}

/** Create an alert that shows an `ApiError`. */
export function errorBox({ message, status, code, requestId }) {
  const details = [status, code, requestId && `request ${requestId}`].filter(Boolean).join(" · ");
  const box = element("div", { className: "error", role: "alert" }, element("p", {}, message));
  if (details) box.append(element("small", {}, details));
  return box;
}

export const byId = (id) => document.getElementById(id);

/** Whether a keydown event submits: Enter without Shift, unless it ends an IME composition (key code 229 in Safari). */
export const isSubmitKey = (event) => event.key === "Enter" && !event.shiftKey && !event.isComposing && event.keyCode !== 229;

/** Return the API key stored for this tab; empty if there is none, or the browser blocks storage. */
export function loadKey() {
  try {
    return sessionStorage.getItem("key") ?? "";
  } catch {
    return "";
  }
}

export function storeKey(key) {
  try {
    sessionStorage.setItem("key", key);
  } catch {
    // storage is blocked: the key is lost on reload
  }
}

/** Create a button that copies what `text()` returns and confirms it for a moment. */
export function copyButton(label, text) {
  const button = element("button", { type: "button", className: "quiet", textContent: label });
  button.addEventListener("click", async () => {
    button.textContent = (await copy(text())) ? "Copied" : "Copy failed";
    setTimeout(() => (button.textContent = label), 1500);
  });
  return button;
}

/** Copy text to the clipboard; return false if the browser forbids it, as it does over plain HTTP. */
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false;
  }
}
