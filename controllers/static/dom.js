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

/** The element of the page with this id. */
export const byId = (id) => document.getElementById(id);

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
