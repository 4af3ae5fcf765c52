// Markdown to HTML, a block at a time. HTML in it stays text, but for a few tags of plain text.
import { Footnotes } from "./footnotes.js";
import { maskMath, math } from "./math.js";
import { isImage } from "./sanitizer.js";
import { escape } from "./text.js";
import { Lexer, Marked, Renderer } from "./vendor/marked.esm.js";

const TAGS = /&lt;(\/?(?:b|br|del|em|i|ins|kbd|mark|s|small|strong|sub|sup|u)) ?\/?&gt;/gi;
// Text beyond these stays plain, as it would keep the page busy: the time that delimiters take grows with their square.
const LONGEST = 500_000; // characters of a text, which take 2 s
const [DELIMITER, MOST_DELIMITERS] = [/[*_]+|[`[]/g, 1000]; // of words, in a paragraph
const [DELIMITER_ROW, MOST_DELIMITER_ROWS] = [/^ *[|:-][ |:-]*$/gm, 500]; // of tables, in a text
const rules = {
  html: ({ text, block }) => (block ? `<p>${plainTags(text.trim()).replaceAll("\n", "<br>")}</p>` : plainTags(text)),
  heading({ tokens, depth }) {
    const name = `h${Math.min(depth + 2, 6)}`; // the page has headings of its own
    return `<${name}>${this.parser.parseInline(tokens)}</${name}>`;
  },
  code: ({ text, lang }) => `<pre title="${escape((lang ?? "").split(/\s/, 1)[0])}">\n${escape(text)}</pre>`,
  table(token) {
    return `<div class="table">${Renderer.prototype.table.call(this, token)}</div>`;
  },
  checkbox: ({ checked }) => `<span class="task" role="img" aria-label="${checked ? "done" : "to do"}">${checked ? "✓" : ""}</span> `,
  link({ href, title, tokens }) {
    return link(href, title, this.parser.parseInline(tokens).replace(/<\/?a\b[^>]*>/g, "")); // links do not nest
  },
  image({ href, title, text }) {
    if (isImage(href)) return `<img src="${escape(href)}" alt="${escape(text)}">`;
    return link(href, title, `image: ${escape(text || href)}`); // the page loads nothing from other hosts
  },
};

const plainTags = (html) => escape(html).replace(TAGS, "<$1>");

/** Return a link for http, https and mailto, else a span. */
function link(href, title, html) {
  if (!/^(https?:\/\/|mailto:)/i.test(href) || !URL.canParse(href)) return `<span title="${escape(href)}">${html}</span>`;
  return `<a href="${escape(href)}"${title ? ` title="${escape(title)}"` : ""} target="_blank" rel="noopener noreferrer">${html}</a>`;
}

const count = (pattern, text) => text.match(pattern)?.length ?? 0;

/** Lexer that leaves a paragraph with very many delimiters plain. */
class BoundedLexer extends Lexer {
  inlineTokens(source, tokens = []) {
    if (count(DELIMITER, source) <= MOST_DELIMITERS) return super.inlineTokens(source, tokens);
    const lines = source.split("\n").map((line) => ({ type: "text", raw: line, text: line, escaped: false }));
    tokens.push(...lines.flatMap((line) => [{ type: "br", raw: "\n" }, line]).slice(1));
    return tokens;
  }
}

/** Renders the blocks of one text. */
export class BlockRenderer {
  constructor() {
    this.notes = new Footnotes();
    this.marked = new Marked({ gfm: true, breaks: true, renderer: rules, hooks: { emStrongMask: maskMath } });
    this.marked.use({ extensions: [...math, ...this.notes.extensions] });
  }

  /** Return the HTML of each block, and the length of its source with the blank lines after it. */
  render(source) {
    const blocks = [];
    for (const token of this.parse(source)) {
      if (token.type === "space" && blocks.length) blocks.at(-1).length += token.raw.length;
      else blocks.push({ html: this.toHtml([token]), length: token.raw.length });
    }
    return blocks;
  }

  /** Return the HTML of each block of the whole text, with the footnotes at the end. */
  renderWhole(source) {
    const blocks = this.notes.collect(this.parse(source)).map((token) => this.toHtml([token]));
    return [...blocks, this.notes.list((tokens) => this.toHtml(tokens))];
  }

  parse(source) {
    const plain = [{ type: "html", block: true, raw: source, text: source }];
    if (source.length > LONGEST || count(DELIMITER_ROW, source) > MOST_DELIMITER_ROWS) return plain;
    return orPlain(() => new BoundedLexer(this.marked.defaults).lex(source), () => plain);
  }

  toHtml(tokens) {
    return orPlain(() => this.marked.parser(tokens), () => rules.html({ text: tokens.map(({ raw }) => raw).join(""), block: true }));
  }
}

/** Return what `run` makes of a text, or `plain` if it is nested too deeply for the stack. */
function orPlain(run, plain) {
  try {
    return run();
  } catch (error) {
    if (error instanceof RangeError) return plain();
    throw error;
  }
}
