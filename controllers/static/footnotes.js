// Footnotes in Markdown: `[^1]` in the text, and `[^1]: …` anywhere.
import { escape, findInParagraph } from "./text.js";

const REFERENCE = /^\[\^([^\]\s]{1,80})\]/;
const DEFINITION = /^\[\^([^\]\s]{1,80})\]:[ \t]*((?:[^\n]+|\n+(?: {4}|\t)|\n(?![\n#>`~|$]|\[\^|[-*+] |\d{1,9}[.)] ))*)(?:\n+|$)/;

let created = 0; // numbers the texts, as the addresses of footnotes are the page's

/** The footnotes of one text. */
export class Footnotes {
  constructor() {
    this.prefix = `note-${(created += 1)}`;
    this.numbers = new Map(); // by label, in the order of the first references
    this.defined = null; // the tokens by label, once the text is whole
  }

  get extensions() {
    const notes = this;
    return [
      {
        name: "footnote",
        level: "block",
        start: (source) => findInParagraph(/^\[\^/m, source),
        tokenizer(source) {
          const [raw, label, text] = DEFINITION.exec(source) ?? [];
          if (raw) return { type: "footnote", raw, label, tokens: this.lexer.blockTokens(text.replace(/^(?: {4}|\t)/gm, ""), []) };
        },
        renderer({ label, tokens }) {
          return `<div class="footnote"><sup>${notes.number(label)}</sup>${this.parser.parse(tokens)}</div>`;
        },
      },
      {
        name: "reference",
        level: "inline",
        tokenizer(source) {
          const [raw, label] = REFERENCE.exec(source) ?? [];
          if (raw) return { type: "reference", raw, label };
        },
        renderer: ({ raw, label }) => this.reference(raw, label),
      },
    ];
  }

  number(label) {
    if (!this.numbers.has(label)) this.numbers.set(label, this.numbers.size + 1);
    return this.numbers.get(label);
  }

  /** Return a reference: a number, and a link once the text is whole. */
  reference(raw, label) {
    if (this.defined && !this.defined.has(label)) return escape(raw);
    const isFirst = !this.numbers.has(label);
    const number = this.number(label);
    if (!this.defined) return `<sup>${number}</sup>`;
    const id = `${this.prefix}-${number}`;
    return `<sup><a href="#${id}"${isFirst ? ` id="${id}-from"` : ""} aria-label="Footnote ${number}">${number}</a></sup>`;
  }

  /** Take the footnotes out of the tokens of the whole text. */
  collect(tokens) {
    const isNote = ({ type }) => type === "footnote";
    this.numbers.clear();
    this.defined = new Map(tokens.filter(isNote).map((token) => [token.label, token]));
    return tokens.filter((token) => !isNote(token));
  }

  /** Return the list of the footnotes, after the rest of the text has been rendered. */
  list(parse) {
    if (!this.defined.size) return "";
    const referenced = this.numbers.size;
    this.defined.forEach((_, label) => this.number(label));
    const items = [...this.numbers].map(([label, number]) => {
      const id = `${this.prefix}-${number}`;
      const back = number > referenced ? "" : ` <a href="#${id}-from" aria-label="Back to reference ${number}">↩</a>`;
      return `<li id="${id}">${parse(this.defined.get(label).tokens).replace(/(<\/p>)?\s*$/, `${back}$1`)}</li>`;
    });
    return `<section class="footnotes"><ol>${items.join("")}</ol></section>`;
  }
}
