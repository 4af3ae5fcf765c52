// Markdown as models write it, into elements. What it does not know, HTML above all, stays text;
// an image becomes a link, as the page asks no other host for anything.
import { copyButton, element } from "./dom.js";

const DEEPEST = 12; // of lists and quotes in each other; more is text

const FENCE = /^ {0,3}(`{3,}|~{3,})\s*([^\s`]*)[^`]*$/;
const HEADING = /^ {0,3}(#{1,6})\s+([^]*?)(?:\s+#+)?\s*$/;
const UNDERLINE = /^ {0,3}(={2,}|-{2,})\s*$/; // which makes a heading of the paragraph above it
const RULE = /^ {0,3}([-*_])(?:\s*\1){2,}\s*$/;
const QUOTE = /^ {0,3}> ?/;
const ITEM = /^( *)([-*+]|\d{1,9}[.)])([ \t]+|$)/;
const FIRST_ITEM = /^ *([-*+]|1[.)])([ \t]+|$)/; // as only it may follow a paragraph at once: "1984. It was …" is a sentence
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
    const blocks = [...parse(lines.map((line) => line.replace(/\r$/, "")), 0)];
    const nodes = replace(this.root, this.open, blocks.map((block) => block.node));
    const settled = Math.max(blocks.length - 2, 0); // the next words may change the last two
    const end = settled && blocks[settled - 1].end;
    this.settled += lines.slice(0, end).reduce((length, line) => length + line.length + 1, 0);
    this.open = nodes.slice(settled);
  }
}

/** Let nodes stand where the old ones do, the last of the parent's; returns those that now stand there. */
function replace(parent, old, nodes) {
  old.slice(nodes.length).forEach((node) => node.remove());
  return nodes.map((node, index) => (index < old.length ? become(old[index], node) : parent.appendChild(node)));
}

/** Make a node look like another. What of it stays the same stays itself: a reader may have selected, scrolled or pressed it. */
function become(old, node) {
  if (old.isEqualNode(node) || old.tagName === "BUTTON") return old; // a button may say "Copied" for now
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

const interrupts = (lines, at, depth, item = FIRST_ITEM) =>
  [FENCE, HEADING, RULE].some((start) => start.test(lines[at])) ||
  isTable(lines, at) ||
  (depth < DEEPEST && (QUOTE.test(lines[at]) || item.test(lines[at])));

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
  const made = element(ordered ? "ol" : "ul", ordered ? { start: parseInt(marker) } : {});
  let end = at;
  for (let match; (match = ITEM.exec(lines[end] ?? "")) && /\d/.test(match[2]) === ordered; ) {
    if (match[1].length > indent.length + 1 || RULE.test(lines[end])) break;
    const width = match[1].length + 2; // of what belongs to the item: nested lists are indented by two or more
    const inner = [lines[end].slice(match[0].length)];
    let next = filled(lines, (end += 1));
    for (; belongs(lines, end, next, width); next = filled(lines, end))
      for (; end <= next; end += 1) inner.push(dedent(lines[end], match[0].length));
    made.append(element("li", {}, ...loose(nodes(inner, depth))));
    if (ITEM.test(lines[next] ?? "")) end = next;
  }
  return end > at ? [made, end] : paragraph(lines, at, DEEPEST);
}

/** The first line from this one on that is not empty. */
function filled(lines, at) {
  while (at < lines.length && !lines[at].trim()) at += 1;
  return at;
}

/** Whether the next line that is not empty goes on with the item that ends here: it is indented, or more of its paragraph. */
function belongs(lines, end, next, width) {
  if (next === lines.length) return false;
  return lines[next].search(/\S/) >= width || (next === end && !interrupts(lines, next, 0, ITEM));
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

const ENTITIES = { lt: "<", gt: ">", amp: "&", quot: '"', "#39": "'", nbsp: "\u00a0" };

const SPECIAL = /[\\`!\[<*_~\nh&]/g;
const TARGET = String.raw`\(\s*<?((?:[^\s()<>]|\([^\s()<>]*\))*)>?(?:\s+["'][^)]*["'])?\s*\)`; // of a link
const PAIR = String.raw`\([^\s<>"()]*\)`; // of parentheses, in a link that stands for itself
const BARE = String.raw`<?((?:https?:\/\/|mailto:)(?:${PAIR}|[^\s<>"()])*(?:${PAIR}|[^\s<>.,;:!?'"()\]*_\x60]))>?`;
// What may stand where one of SPECIAL is, tried in this order. None may take more than the square of a text's length.
const RULES = [
  [/\\([!-/:-@[-`{-~])/y, (match) => match[1]],
  [/(?<!`)(`+)(?!`)([^]*?[^`])\1(?!`)/y, (match) => element("code", {}, match[2].replace(/^ (.*) $/s, "$1"))],
  [new RegExp(String.raw`!\[([^\]]*)\]${TARGET}`, "y"), (match) => link(match[2], [`image: ${match[1] || match[2]}`])],
  [new RegExp(String.raw`\[((?:[^[\]]|\[[^[\]]*\])+)\]${TARGET}`, "y"), (match) => link(match[2], inline(match[1]))],
  [new RegExp(BARE, "y"), (match) => link(match[1], [match[1]])],
  [/&(lt|gt|amp|quot|#39|nbsp);/y, (match) => ENTITIES[match[1]]],
  [/\\?\n|<br ?\/?>/iy, () => element("br")],
];
// The same of emphasis, and how long its marks are. It is looked for where code and escapes are blank, so that no mark is in them.
const EMPHASIS = [
  [/\*(?!\s)(?:[^*]|\*\*[^*]+\*\*)+?(?<!\s)\*(?!\*)/y, "em", 1],
  [/\*\*(?!\s|\*\*)[^]*?\S\*\*(?!\*)/y, "strong", 2],
  [/(?<!\w)__(?!\s|__)[^]*?\S__(?!\w)/y, "strong", 2],
  [/(?<!\w)_(?=[^\s_])[^_]*[^\s_]_(?!\w)/y, "em", 1],
  [/~~(?=\S)[^]*?\S~~/y, "del", 2],
];
const LITERAL = /\\[!-/:-@[-`{-~]|(?<!`)(`+)(?!`)[^]*?[^`]\1(?!`)/g;

/** The nodes of a text within a block. */
export function inline(text) {
  const found = [];
  const plain = text.replace(LITERAL, (literal) => "\0".repeat(literal.length));
  let from = 0;
  for (SPECIAL.lastIndex = 0; ; ) {
    const next = SPECIAL.exec(text);
    if (!next) break;
    const at = next.index;
    const [length, node] = special(text, plain, at);
    SPECIAL.lastIndex = at + Math.max(length, 1); // which making what is within has moved
    if (!length) continue;
    if (at > from) found.push(text.slice(from, at));
    found.push(node);
    from = at + length;
  }
  if (from < text.length) found.push(text.slice(from));
  return found;
}

/** How long what stands at a special character is, and the node of it; 0 if the character means itself. */
function special(text, plain, at) {
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

/** A link if it leads to the web or to a mailbox, else what it says. */
function link(href, children) {
  if (!/^(https?:\/\/|mailto:)/i.test(href) || !URL.canParse(href)) return element("span", { title: href }, ...children);
  const made = element("a", { href, target: "_blank", rel: "noopener noreferrer" }, ...children);
  made.querySelectorAll("a").forEach((inner) => inner.replaceWith(...inner.childNodes)); // a link has no links in it
  return made;
}
