// Helpers for the rules of Markdown.
const LONGEST = 4000; // characters that are searched, as this happens for each block
const ESCAPES = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };

export const escape = (text) => text.replace(/[&<>"']/g, (character) => ESCAPES[character]);

/** Return the index of a pattern's first match in the first paragraph of a text, or the beginning of a long one. */
export const findInParagraph = (pattern, text) => pattern.exec(text.slice(0, LONGEST).split("\n\n", 1)[0])?.index;
