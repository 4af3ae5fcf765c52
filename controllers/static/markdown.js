// Renders Markdown to elements while its text grows.
import { colored } from "./highlight.js";
import { copyButton, element } from "./dom.js";
import { BlockRenderer } from "./renderer.js";
import { sanitize } from "./sanitizer.js";

/** Text that grows. Finished blocks are rendered once; only the end is rendered again. */
export class Markdown {
  constructor(root) {
    this.root = root;
    this.text = "";
    this.source = ""; // the text without carriage returns
    this.rendered = 0; // length of the source that has been rendered
    this.settled = 0; // length of the source whose rendering is final
    this.open = []; // elements of the rest
    this.renderer = new BlockRenderer();
  }

  append(text) {
    this.text += text;
    this.source += text.replaceAll("\r", "");
  }

  render() {
    if (this.rendered === this.source.length) return;
    this.rendered = this.source.length;
    const blocks = this.renderer.render(this.source.slice(this.settled));
    const elements = blocks.map(({ html }, index) => toElements(html, index === blocks.length - 1));
    const nodes = replace(this.root, this.open, elements.flat());
    const end = Math.max(blocks.length - 2, 0); // more text may change the last two
    this.settled += blocks.slice(0, end).reduce((length, block) => length + block.length, 0);
    this.open = nodes.slice(elements.slice(0, end).flat().length);
  }

  /** Render the whole text once more: what a link or a footnote refers to may have come after it. */
  finish() {
    const elements = this.renderer.renderWhole(this.source).flatMap((html) => toElements(html, false));
    replace(this.root, [...this.root.childNodes], elements);
    this.settled = this.rendered = this.source.length;
    this.open = [];
  }
}

/** Return the elements of a block's HTML. Code of a block that still grows may be coloured in part. */
function toElements(html, grows) {
  const fragment = sanitize(html);
  fragment.querySelectorAll(".table").forEach((table) => (table.tabIndex = 0));
  fragment.querySelectorAll("pre").forEach((pre) => pre.replaceWith(figure(pre.textContent, pre.title, grows)));
  return [...fragment.children];
}

function figure(text, language, grows) {
  const button = copyButton("Copy", () => button.closest("figure").querySelector("code").textContent);
  const caption = element("figcaption", {}, element("span", {}, language || "text"), button);
  return element("figure", {}, caption, element("pre", { tabIndex: 0 }, colored(text, language, grows)));
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
