// Helpers for the rules of Markdown.
const ESCAPES = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };

export const escape = (text) => text.replace(/[&<>"']/g, (character) => ESCAPES[character]);

/** Return the index of a pattern's first match in the first paragraph of a text, if there is one. */
export function findInParagraph(pattern, text) {
  const end = text.indexOf("\n\n");
  return pattern.exec(end < 0 ? text : text.slice(0, end))?.index;
}
