// The body of an answer: its thoughts, texts, events and calls of tools, in the order in which they came.
import { element } from "./dom.js";
import { EventList } from "./events.js";
import { Markdown } from "./markdown.js";
import { Thinking } from "./thinking.js";
import { ToolCall } from "./toolcall.js";

export class Body {
  constructor() {
    this.root = element("div", { className: "body" });
    this.text = ""; // of all texts
    this.blank = ""; // the beginning of the next text
    this.texts = [];
    this.thoughts = [];
    this.events = new EventList(() => this.section("events", () => element("ol", { className: "events", "aria-label": "Events" })));
    this.kind = null; // of what came last
  }

  addText(text) {
    const isBlank = !text.trim();
    this.text += text;
    this.blank += text;
    if (isBlank && this.kind !== "text") return; // it may indent what follows
    this.beginText();
    this.texts.at(-1).append(this.blank);
    this.blank = "";
  }

  beginText() {
    if (this.kind !== "text" && !isInCode(this.texts.at(-1)?.text ?? "")) {
      this.texts.push(new Markdown(this.section("text", () => element("div", { className: "text" }))));
    }
    this.setKind("text");
  }

  addThought(text) {
    if (this.kind === "thought") return this.thoughts.at(-1).add(text);
    if (!text.trim()) return;
    const thought = new Thinking();
    this.section("thought", () => thought.root);
    this.thoughts.push(thought);
    thought.add(text.trimStart());
  }

  /** Add the row of a call whose result the user fills in. */
  addCard() {
    const card = new ToolCall("strong", true);
    card.root.classList.add("card");
    this.section("calls", () => element("div", { className: "calls", role: "group", "aria-label": "Tool calls" })).append(card.root);
    return card;
  }

  /** Return the last element if it is of this kind, else a new one. */
  section(kind, create) {
    if (this.kind !== kind) this.root.append(create());
    this.setKind(kind);
    return this.root.lastChild;
  }

  setKind(kind) {
    if (kind !== "thought") this.thoughts.at(-1)?.end();
    this.kind = kind;
  }

  render() {
    this.texts.forEach((text) => text.render());
  }

  /** Handle the end of the answer. */
  finish() {
    this.texts.forEach((text) => text.finish());
    this.thoughts.at(-1)?.end();
    this.events.finish();
  }
}

/** Return whether a text ends within a block of code, which goes on after an event. */
function isInCode(text) {
  let open = "";
  for (const [, fence, rest] of text.matchAll(/^[ \t]*(`{3,}(?![^`\n]*`)|~{3,})(.*)/gm)) {
    if (!open) open = fence;
    else if (fence.startsWith(open) && !rest.trim()) open = "";
  }
  return open !== "";
}
