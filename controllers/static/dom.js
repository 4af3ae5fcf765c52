// DOM helpers. Text is inserted as text and never parsed as HTML, so a model's output cannot inject markup.

export const SVG = "http://www.w3.org/2000/svg";

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

/** Create an icon of 20 by 20 units from the path of its lines. */
export function icon(path) {
  const [svg, line] = ["svg", "path"].map((name) => document.createElementNS(SVG, name));
  line.setAttribute("d", path);
  svg.setAttribute("viewBox", "0 0 20 20");
  svg.setAttribute("aria-hidden", "true");
  svg.append(line);
  return svg;
}

/** Create an alert that shows an `ApiError`, which is none if the user only has to enter a key. */
export function errorBox({ message, status, code, requestId, isWanted }) {
  if (isWanted) return element("div", { className: "wanted", role: "alert" }, element("p", {}, message));
  const details = [status, code, requestId && `request ${requestId}`].filter(Boolean).join(" · ");
  const box = element("div", { className: "error", role: "alert" }, element("p", {}, message));
  if (details) box.append(element("small", {}, details));
  return box;
}

export const byId = (id) => document.getElementById(id);

/** Whether a keydown event submits: Enter without Shift, unless it ends an IME composition (key code 229 in Safari). */
export const isSubmitKey = (event) => event.key === "Enter" && !event.shiftKey && !event.isComposing && event.keyCode !== 229;

/** Move the focus off an element that goes away: to the prompt, or on a phone, where that opens the keyboard, to the page. */
export function moveFocus() {
  byId(matchMedia("(hover: none)").matches ? "page" : "prompt").focus();
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
