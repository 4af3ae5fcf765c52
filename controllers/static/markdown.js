// Markdown as models write it, into elements. What it does not know, HTML above all, stays text;
// an image becomes a link, as the page asks no other host for anything.
import { copyButton, element } from "./dom.js";

const DEEPEST = 12; // of lists and quotes in each other; more is text

const FENCE = /^ {0,3}(`{3,}|~{3,})\s*([^\s`]*)[^`]*$/;
const HEADING = /^ {0,3}(#{1,6})\s+(.*?)\s*#*\s*$/;
const RULE = /^ {0,3}([-*_])(?:\s*\1){2,}\s*$/;
const QUOTE = /^ {0,3}> ?/;
const ITEM = /^( *)([-*+]|\d{1,9}[.)])( +|$)/;
const DIVIDER = /^ *\|?( *:?-+:? *\|)+ *(:?-+:? *)?$/;

/** A text that grows: what is complete is built once, only its end is built anew. */
export class Markdown {
  constructor(root) {
    this.root = root;
    this.text = "";
    this.settled = 0; // how much of the text will never look different
    this.open = []; // the elements of the rest
  }

  append(text) {
    this.text += text;
  }

  render() {
    const lines = this.text.slice(this.settled).split("\n");
    const blocks = [...parse(lines, 0)];
    this.open.forEach((node) => node.remove());
    this.root.append(...blocks.map((block) => block.node));
    const settled = blocks.splice(0, Math.max(blocks.length - 2, 0)); // the next words may change the last two
    const end = settled.at(-1)?.end ?? 0;
    this.settled += lines.slice(0, end).reduce((length, line) => length + line.length + 1, 0);
    this.open = blocks.map((block) => block.node);
  }
}

/** The blocks of these lines: an element each, and the line after it. */
function* parse(lines, depth) {
  let at = 0;
  while (at < lines.length) {
    if (!lines[at].trim()) {
      at += 1;
      continue;
    }
    const [node, end] = block(lines, at, depth);
    yield { node, end };
    at = end;
  }
}

function block(lines, at, depth) {
  const line = lines[at];
  let match;
  if ((match = FENCE.exec(line))) return code(lines, at, match);
  if ((match = HEADING.exec(line))) return [element(`h${Math.min(match[1].length + 2, 6)}`, {}, ...inline(match[2])), at + 1];
  if (RULE.test(line)) return [element("hr"), at + 1];
  if (isTable(lines, at)) return table(lines, at);
  if (depth < DEEPEST && QUOTE.test(line)) return quote(lines, at, depth);
  if (depth < DEEPEST && (match = ITEM.exec(line))) return list(lines, at, match, depth);
  return paragraph(lines, at, depth);
}

const isTable = (lines, at) => lines[at].includes("|") && DIVIDER.test(lines[at + 1] ?? "");

const interrupts = (lines, at, depth) =>
  [FENCE, HEADING, RULE].some((start) => start.test(lines[at])) ||
  isTable(lines, at) ||
  (depth < DEEPEST && (QUOTE.test(lines[at]) || ITEM.test(lines[at])));

function paragraph(lines, at, depth) {
  let end = at + 1;
  while (end < lines.length && lines[end].trim() && !interrupts(lines, end, depth)) end += 1;
  return [element("p", {}, ...inline(lines.slice(at, end).join("\n").trim())), end];
}

function code(lines, at, [, fence, language]) {
  const closing = new RegExp(`^ {0,3}${fence[0]}{${fence.length},}\\s*$`);
  let end = at + 1;
  while (end < lines.length && !closing.test(lines[end])) end += 1;
  const text = lines.slice(at + 1, end).join("\n");
  const caption = element("figcaption", {}, element("span", {}, language || "text"), copyButton("Copy", () => text));
  return [element("figure", {}, caption, element("pre", { tabIndex: 0 }, element("code", {}, text))), end + 1];
}

function quote(lines, at, depth) {
  let end = at;
  while (end < lines.length && QUOTE.test(lines[end])) end += 1;
  const inner = lines.slice(at, end).map((line) => line.replace(QUOTE, ""));
  return [element("blockquote", {}, ...nodes(inner, depth)), end];
}

function list(lines, at, [, indent, marker], depth) {
  const ordered = /\d/.test(marker);
  const made = element(ordered ? "ol" : "ul", ordered ? { start: parseInt(marker) } : {});
  let end = at;
  for (let match; (match = ITEM.exec(lines[end] ?? "")) && /\d/.test(match[2]) === ordered; ) {
    if (match[1].length > indent.length + 1 || RULE.test(lines[end])) break;
    const width = match[1].length + 2; // of what belongs to the item: nested lists are indented by two or more
    const inner = [lines[end].slice(match[0].length)];
    for (end += 1; end < lines.length && belongs(lines, end, width); end += 1) inner.push(dedent(lines[end], match[0].length));
    made.append(element("li", {}, ...loose(nodes(inner, depth))));
    while (end < lines.length && !lines[end].trim() && ITEM.test(lines[end + 1] ?? "")) end += 1;
  }
  return end > at ? [made, end] : paragraph(lines, at, DEEPEST);
}

/** Whether a line goes on with the item before it: it is indented, or empty before one that is. */
function belongs(lines, at, width) {
  const indented = (line) => line !== undefined && line.trim() !== "" && line.search(/\S/) >= width;
  if (lines[at].trim()) return indented(lines[at]) || (lines[at - 1].trim() !== "" && !interrupts(lines, at, 0));
  return indented(lines[at + 1]);
}

const dedent = (line, width) => line.slice(Math.min(Math.max(line.search(/\S/), 0), width));

const nodes = (lines, depth) => [...parse(lines, depth + 1)].map((block) => block.node);

/** The text of a list's item without its paragraph, unless there are several. */
function loose(children) {
  const isParagraph = (child) => child.tagName === "P";
  if (children.filter(isParagraph).length !== 1) return children;
  return children.flatMap((child) => (isParagraph(child) ? [...child.childNodes] : [child]));
}

function table(lines, at) {
  const row = (line) => line.trim().replace(/^\||(?<!\\)\|$/g, "").split(/(?<!\\)\|/).map((cell) => cell.trim().replaceAll("\\|", "|"));
  const aligned = row(lines[at + 1]).map((cell) => (/^:-+:$/.test(cell) ? "center" : /-:$/.test(cell) ? "right" : "left"));
  const cells = (name, line) => row(line).map((cell, index) => element(name, { className: aligned[index] ?? "left" }, ...inline(cell)));
  const body = element("tbody");
  let end = at + 2;
  for (; end < lines.length && lines[end].includes("|"); end += 1) body.append(element("tr", {}, ...cells("td", lines[end])));
  const head = element("thead", {}, element("tr", {}, ...cells("th", lines[at])));
  return [element("div", { className: "table", tabIndex: 0 }, element("table", {}, head, body)), end];
}

const wrapped = (name) => (match) => element(name, {}, ...inline(match[1]));

const SPECIAL = /[\\`!\[<*_~\nh]/g;
const TARGET = String.raw`\(\s*<?((?:[^\s()<>]|\([^\s()<>]*\))*)>?(?:\s+["'][^)]*["'])?\s*\)`; // of a link
// What may stand where one of SPECIAL is, tried in this order. None may take more than the square of a text's length.
const RULES = [
  [/\\([!-/:-@[-`{-~])/y, (match) => match[1]],
  [/(`+)(?!`)([^]*?[^`])\1(?!`)/y, (match) => element("code", {}, match[2].replace(/^ (.*) $/s, "$1"))],
  [new RegExp(String.raw`!\[([^\]]*)\]${TARGET}`, "y"), (match) => link(match[2], [`image: ${match[1] || match[2]}`])],
  [new RegExp(String.raw`\[((?:[^[\]]|\[[^[\]]*\])+)\]${TARGET}`, "y"), (match) => link(match[2], inline(match[1]))],
  [/<?((?:https?:\/\/|mailto:)[^\s<>"]*[^\s<>.,;:!?'")\]*_`])>?/y, (match) => link(match[1], [match[1]])],
  [/\*\*(?=\S)([^]*?[^\s])\*\*/y, wrapped("strong")],
  [/(?<!\w)__(?=\S)([^]*?\S)__(?!\w)/y, wrapped("strong")],
  [/\*(?=[^\s*])([^*]*[^\s*])\*/y, wrapped("em")],
  [/(?<!\w)_(?=[^\s_])([^_]*[^\s_])_(?!\w)/y, wrapped("em")],
  [/~~(?=\S)([^]*?\S)~~/y, wrapped("del")],
  [/\n/y, () => element("br")],
];

/** The nodes of a text within a block. */
export function inline(text) {
  const found = [];
  let from = 0;
  for (SPECIAL.lastIndex = 0; ; ) {
    const next = SPECIAL.exec(text);
    if (!next) break;
    const at = next.index;
    const [match, make] = matching(text, at);
    if (!match) continue;
    if (at > from) found.push(text.slice(from, at));
    found.push(make(match));
    SPECIAL.lastIndex = from = at + match[0].length; // which making what is within has moved
  }
  if (from < text.length) found.push(text.slice(from));
  return found;
}

function matching(text, at) {
  for (const [rule, make] of RULES) {
    rule.lastIndex = at;
    const match = rule.exec(text);
    if (match) return [match, make];
  }
  return [];
}

/** A link if it leads to the web or to a mailbox, else what it says. */
function link(href, children) {
  if (!/^(https?:\/\/|mailto:)/i.test(href) || !URL.canParse(href)) return element("span", { title: href }, ...children);
  return element("a", { href, target: "_blank", rel: "noopener noreferrer" }, ...children);
}
