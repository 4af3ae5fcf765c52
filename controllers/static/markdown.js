// Renders Markdown to elements. HTML and unknown syntax stay text; an image becomes a link, as the page
// loads nothing from other hosts.
import { copyButton, element } from "./dom.js";

const MAX_DEPTH = 12; // of nested lists and quotes; deeper ones stay text

const FENCE = /^ {0,3}(`{3,}|~{3,})\s*([^\s`]*)[^`]*$/;
const HEADING = /^ {0,3}(#{1,6})\s+([^]*?)(?:\s+#+)?\s*$/;
const UNDERLINE = /^ {0,3}(={2,}|-{2,})\s*$/; // makes the paragraph above it a heading
const RULE = /^ {0,3}([-*_])(?:\s*\1){2,}\s*$/;
const QUOTE = /^ {0,3}> ?/;
const ITEM = /^( *)([-*+]|\d{1,9}[.)])([ \t]+|$)/;
const FIRST_ITEM = /^ *([-*+]|1[.)])([ \t]+|$)/; // without a blank line before it: "1984. It was …" is a sentence
const DIVIDER = /^ *\|?( *:?-+:? *\|)+ *(:?-+:? *)?$/;

/** Text that grows. Finished blocks are rendered once; only the end is rendered again. */
export class Markdown {
  constructor(root) {
    this.root = root;
    this.text = "";
    this.settled = 0; // length of the text whose rendering is final
    this.open = []; // elements of the rest
  }

  append(text) {
    this.text += text;
  }

  render() {
    const lines = this.text.slice(this.settled).split("\n");
    const blocks = [...parse(lines.map((line) => line.replace(/\r$/, "")), 0)];
    const nodes = replace(this.root, this.open, blocks.map((block) => block.node));
    const settled = Math.max(blocks.length - 2, 0); // more text may change the last two
    const end = settled && blocks[settled - 1].end;
    this.settled += lines.slice(0, end).reduce((length, line) => length + line.length + 1, 0);
    this.open = nodes.slice(settled);
  }
}

/** Replace `old`, the last children of `parent`, and return the nodes that are now there. */
function replace(parent, old, nodes) {
  old.slice(nodes.length).forEach((node) => node.remove());
  return nodes.map((node, index) => (index < old.length ? morph(old[index], node) : parent.appendChild(node)));
}

/** Turn a node into another. Unchanged parts are kept, with the user's selection, scroll position and focus. */
function morph(old, node) {
  if (old.isEqualNode(node) || old.tagName === "BUTTON") return old; // a button may say "Copied"
  if (old.nodeType === Node.TEXT_NODE && node.nodeType === Node.TEXT_NODE && node.data.startsWith(old.data)) {
    old.appendData(node.data.slice(old.length));
    return old;
  }
  if (!old.cloneNode().isEqualNode(node.cloneNode())) {
    old.replaceWith(node);
    return node;
  }
  replace(old, [...old.childNodes], [...node.childNodes]);
  return old;
}

/** Yield the element of each block, and the index of the line after it. */
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
  if (depth < MAX_DEPTH && QUOTE.test(line)) return quote(lines, at, depth);
  if (depth < MAX_DEPTH && (match = ITEM.exec(line))) return list(lines, at, match, depth);
  return paragraph(lines, at, depth);
}

const isTable = (lines, at) => lines[at].includes("|") && DIVIDER.test(lines[at + 1] ?? "");

const interrupts = (lines, at, depth, item = FIRST_ITEM) =>
  [FENCE, HEADING, RULE].some((start) => start.test(lines[at])) ||
  isTable(lines, at) ||
  (depth < MAX_DEPTH && (QUOTE.test(lines[at]) || item.test(lines[at])));

function paragraph(lines, at, depth) {
  let end = at + 1;
  while (end < lines.length && lines[end].trim() && !UNDERLINE.test(lines[end]) && !interrupts(lines, end, depth)) end += 1;
  const content = inline(lines.slice(at, end).join("\n").trim());
  const underline = UNDERLINE.exec(lines[end] ?? "");
  if (underline) return [element(underline[1][0] === "=" ? "h3" : "h4", {}, ...content), end + 1];
  return [element("p", {}, ...content), end];
}

function code(lines, at, [, fence, language]) {
  const closing = new RegExp(`^ {0,3}${fence[0]}{${fence.length},}\\s*$`);
  let end = at + 1;
  while (end < lines.length && !closing.test(lines[end])) end += 1;
  const indent = lines[at].search(/\S/);
  const text = element("code", {}, lines.slice(at + 1, end).map((line) => dedent(line, indent)).join("\n"));
  const caption = element("figcaption", {}, element("span", {}, language || "text"), copyButton("Copy", () => text.textContent));
  return [element("figure", {}, caption, element("pre", { tabIndex: 0 }, text)), end + 1];
}

function quote(lines, at, depth) {
  let end = at;
  while (end < lines.length && QUOTE.test(lines[end])) end += 1;
  const inner = lines.slice(at, end).map((line) => line.replace(QUOTE, ""));
  return [element("blockquote", {}, ...nodes(inner, depth)), end];
}

function list(lines, at, [, indent, marker], depth) {
  const ordered = /\d/.test(marker);
  const created = element(ordered ? "ol" : "ul", ordered ? { start: parseInt(marker) } : {});
  let end = at;
  for (let match; (match = ITEM.exec(lines[end] ?? "")) && /\d/.test(match[2]) === ordered; ) {
    if (match[1].length > indent.length + 1 || RULE.test(lines[end])) break;
    const width = match[1].length + 2; // least indentation of the item's content
    const inner = [lines[end].slice(match[0].length)];
    let next = skipBlank(lines, (end += 1));
    for (; continuesItem(lines, end, next, width); next = skipBlank(lines, end))
      for (; end <= next; end += 1) inner.push(dedent(lines[end], match[0].length));
    created.append(element("li", {}, ...unwrapParagraph(nodes(inner, depth))));
    if (ITEM.test(lines[next] ?? "")) end = next;
  }
  return end > at ? [created, end] : paragraph(lines, at, MAX_DEPTH);
}

/** Return the index of the next line that is not empty. */
function skipBlank(lines, at) {
  while (at < lines.length && !lines[at].trim()) at += 1;
  return at;
}

/** Return whether the next line continues the list item: it is indented, or goes on with the item's paragraph. */
function continuesItem(lines, end, next, width) {
  if (next === lines.length) return false;
  return lines[next].search(/\S/) >= width || (next === end && !interrupts(lines, next, 0, ITEM));
}

const dedent = (line, width) => line.slice(Math.min(Math.max(line.search(/\S/), 0), width));

const nodes = (lines, depth) => [...parse(lines, depth + 1)].map((block) => block.node);

/** Unwrap the paragraph of a list item, unless there are several. */
function unwrapParagraph(children) {
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

const ENTITIES = { lt: "<", gt: ">", amp: "&", quot: '"', "#39": "'", nbsp: "\u00a0" };

const SPECIAL = /[\\`!\[<*_~\nh&]/g;
const TARGET = String.raw`\(\s*<?((?:[^\s()<>]|\([^\s()<>]*\))*)>?(?:\s+["'][^)]*["'])?\s*\)`; // `(url "title")`
const PARENTHESES = String.raw`\([^\s<>"()]*\)`; // parentheses in a bare URL
const BARE_URL = String.raw`<?((?:https?:\/\/|mailto:)(?:${PARENTHESES}|[^\s<>"()])*(?:${PARENTHESES}|[^\s<>.,;:!?'"()\]*_\x60]))>?`;
// What may start at a special character, in order of precedence. None may take more than quadratic time.
const RULES = [
  [/\\([!-/:-@[-`{-~])/y, (match) => match[1]],
  [/(?<!`)(`+)(?!`)([^]*?[^`])\1(?!`)/y, (match) => element("code", {}, match[2].replace(/^ (.*) $/s, "$1"))],
  [new RegExp(String.raw`!\[([^\]]*)\]${TARGET}`, "y"), (match) => link(match[2], [`image: ${match[1] || match[2]}`])],
  [new RegExp(String.raw`\[((?:[^[\]]|\[[^[\]]*\])+)\]${TARGET}`, "y"), (match) => link(match[2], inline(match[1]))],
  [new RegExp(BARE_URL, "y"), (match) => link(match[1], [match[1]])],
  [/&(lt|gt|amp|quot|#39|nbsp);/y, (match) => ENTITIES[match[1]]],
  [/\\?\n|<br ?\/?>/iy, () => element("br")],
];
// Emphasis, with the length of its marker. It is matched where code and escapes are blanked out, as their markers do not count.
const EMPHASIS = [
  [/\*(?!\s)(?:[^*]|\*\*[^*]+\*\*)+?(?<!\s)\*(?!\*)/y, "em", 1],
  [/\*\*(?!\s|\*\*)[^]*?\S\*\*(?!\*)/y, "strong", 2],
  [/(?<!\w)__(?!\s|__)[^]*?\S__(?!\w)/y, "strong", 2],
  [/(?<!\w)_(?=[^\s_])[^_]*[^\s_]_(?!\w)/y, "em", 1],
  [/~~(?=\S)[^]*?\S~~/y, "del", 2],
];
const LITERAL = /\\[!-/:-@[-`{-~]|(?<!`)(`+)(?!`)[^]*?[^`]\1(?!`)/g;

function inline(text) {
  const found = [];
  const plain = text.replace(LITERAL, (literal) => "\0".repeat(literal.length));
  let from = 0;
  for (SPECIAL.lastIndex = 0; ; ) {
    const next = SPECIAL.exec(text);
    if (!next) break;
    const at = next.index;
    const [length, node] = matchAt(text, plain, at);
    SPECIAL.lastIndex = at + Math.max(length, 1); // moved by the recursion
    if (!length) continue;
    if (at > from) found.push(text.slice(from, at));
    found.push(node);
    from = at + length;
  }
  if (from < text.length) found.push(text.slice(from));
  return found;
}

/** Return the length and the node of what starts at a special character; a length of 0 if it is plain text. */
function matchAt(text, plain, at) {
  for (const [rule, make] of RULES) {
    rule.lastIndex = at;
    const match = rule.exec(text);
    if (match) return [match[0].length, make(match)];
  }
  for (const [rule, name, width] of EMPHASIS) {
    rule.lastIndex = at;
    const length = rule.exec(plain)?.[0].length;
    if (length) return [length, element(name, {}, ...inline(text.slice(at + width, at + length - width)))];
  }
  return [0];
}

/** Return a link for http, https and mailto, else a span. */
function link(href, children) {
  if (!/^(https?:\/\/|mailto:)/i.test(href) || !URL.canParse(href)) return element("span", { title: href }, ...children);
  const anchor = element("a", { href, target: "_blank", rel: "noopener noreferrer" }, ...children);
  anchor.querySelectorAll("a").forEach((inner) => inner.replaceWith(...inner.childNodes)); // links do not nest
  return anchor;
}
