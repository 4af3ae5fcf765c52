// Mathematics in Markdown, shown as it was written: `$…$`, `$$…$$`, `\(…\)`, `\[…\]` and LaTeX's environments.
import { escape, findInParagraph } from "./text.js";

// A single dollar is a price if a space follows it, or precedes the second one, or a letter or a digit follows that.
const INLINE = String.raw`\$\$(?:[^$\\\n]|\\.){1,999}\$\$|\$(?![\s$])(?:[^$\\\n]|\\.){1,999}?(?<![\s\\])\$(?![\w$])|\\\((?:[^\\\n]|\\[^)\n]){1,999}\\\)|\\\[(?:[^\\\n]|\\[^\]\n]){1,999}\\\]`;
const INLINE_START = new RegExp(`^(?:${INLINE})`);
const INLINE_ANYWHERE = new RegExp(INLINE, "g");
// Display mathematics has no blank lines. While its end has not come yet, it reaches to the end of the text.
const LINES = String.raw`(?:[^\n]|\n(?![ \t]*(?:\n|$)))*?`;
const BLOCK = new RegExp(String.raw`^ {0,3}(?:\$\$${LINES}(?:\$\$|\n?$)|\\\[${LINES}(?:\\\]|\n?$)|\\begin\{(\w+\*?)\}${LINES}(?:\\end\{\1\}|\n?$))[ \t]*(?:\n|$)`);
const BLOCK_AHEAD = /^ {0,3}(?:\$\$|\\\[|\\begin\{)/m;

export const math = [
  {
    name: "displayMath",
    level: "block",
    start: (source) => findInParagraph(BLOCK_AHEAD, source),
    tokenizer: (source) => tokenOf("displayMath", BLOCK.exec(source)),
    renderer: ({ raw }) => `<p class="math"><code>${escape(raw.trim())}</code></p>`,
  },
  {
    name: "math",
    level: "inline",
    start: (source) => source.indexOf("$"),
    tokenizer: (source) => tokenOf("math", INLINE_START.exec(source)),
    renderer: ({ raw }) => `<code class="math">${escape(raw)}</code>`,
  },
];

const tokenOf = (type, match) => match && { type, raw: match[0] };

/** Hide mathematics from the search for emphasis. */
export const maskMath = (source) => source.replace(INLINE_ANYWHERE, (math) => "a".repeat(math.length));
