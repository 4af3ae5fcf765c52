// Colours code. The grammar of a language is loaded when code in it is first shown.
import { element } from "./dom.js";
import { sanitize } from "./sanitizer.js";
import highlighter from "./vendor/highlight/core.min.js";

// Names of languages, as they follow the fence of a code block, by the file of the grammar.
const NAMES = {
  bash: "bash sh shell zsh console",
  cpp: "c c++ cc cpp cxx h hpp",
  css: "css",
  diff: "diff patch",
  dockerfile: "docker dockerfile",
  go: "go golang",
  ini: "ini toml",
  java: "java",
  json: "json json5 jsonc jsonl",
  markdown: "markdown md",
  python: "py python python3",
  rust: "rs rust",
  sql: "postgresql sql sqlite",
  typescript: "cjs cts javascript js jsx mjs mts node ts tsx typescript",
  xml: "html svg vue xhtml xml",
  yaml: "yaml yml",
};
const GRAMMARS = new Map(Object.entries(NAMES).flatMap(([file, names]) => names.split(" ").map((name) => [name, file])));
const WITHIN = { xml: ["css", "typescript"] }; // grammars of what code in a language may embed
const PIECE = 4000; // characters: code that grows is coloured in pieces, once each, as if each were whole
// Longer code, and code with longer words, stays plain: the time that some grammars take grows with the square of a word.
const LONGEST = 100_000; // characters
const LONG_WORD = /[\w$.-]{200}/;

const loading = new Map();
const coloredPieces = new Map(); // fragments

/** Return the element of code, coloured as soon as the grammar of its language is there. */
export function colored(text, name, grows) {
  const grammar = GRAMMARS.get(name.toLowerCase());
  const code = element("code", {}, text);
  if (!grammar || text.length > LONGEST || LONG_WORD.test(text)) return code;
  code.className = grammar;
  if (highlighter.getLanguage(grammar)) color(code, grows);
  else load(grammar);
  return code;
}

function color(code, grows) {
  const [text, grammar] = [code.textContent, code.className];
  if (!grows) return code.replaceChildren(toSpans(text, grammar));
  const pieces = piecesOf(text);
  const last = pieces.pop() ?? "";
  code.replaceChildren(...pieces.map((piece) => remembered(piece, grammar).cloneNode(true)), toSpans(last, grammar));
  code.normalize(); // two texts in a row are one, as in the whole
}

const toSpans = (text, language) => sanitize(highlighter.highlight(text, { language, ignoreIllegals: true }).value);

function remembered(piece, grammar) {
  const name = `${grammar} ${piece}`;
  if (coloredPieces.size > 200) coloredPieces.clear();
  if (!coloredPieces.has(name)) coloredPieces.set(name, toSpans(piece, grammar));
  return coloredPieces.get(name);
}

/** Return the pieces of a text, which end at the end of a line and stay the same while the text grows. */
function piecesOf(text) {
  const found = [];
  for (let from = 0; from < text.length; from += found.at(-1).length) {
    const end = text.lastIndexOf("\n", from + PIECE) + 1;
    found.push(text.slice(from, text.length - from > PIECE && end > from ? end : from + PIECE));
  }
  return found;
}

/** Load a grammar once, and colour the code that waits for it. Without the file, code stays plain. */
function load(grammar) {
  if (!loading.has(grammar)) loading.set(grammar, register(grammar).catch(() => {}));
  return loading.get(grammar);
}

async function register(grammar) {
  const [module] = await Promise.all([import(`./vendor/highlight/${grammar}.min.js`), ...(WITHIN[grammar] ?? []).map(load)]);
  highlighter.registerLanguage(grammar, module.default);
  if (grammar === "typescript") highlighter.registerAliases("javascript", { languageName: grammar });
  document.querySelectorAll(`pre > code.${grammar}`).forEach((code) => color(code, false));
}
