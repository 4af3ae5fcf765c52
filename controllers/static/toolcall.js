// A call of a tool: one row, whose state changes.
import { element } from "./dom.js";

const STATES = { running: "running", waiting: "no result yet", done: "done", failed: "failed", ended: "no result" };

export class ToolCall {
  constructor(name = "strong", isOpen = false) {
    this.mark = element("span", { className: "state", role: "img" });
    this.title = element(name);
    this.details = element("details", { open: isOpen }, element("summary"));
    this.root = element("div", { className: "tool" }, this.mark, this.title);
    this.parts = {};
    this.setState("running");
  }

  setState(state) {
    this.state = state;
    this.mark.dataset.state = state;
    this.mark.setAttribute("aria-label", STATES[state]);
  }

  /** Show a call: its name, and its arguments or free text so far. */
  setCall({ name, input, arguments: json }) {
    const text = input ?? json;
    if (this.shown === name + text) return; // or a selection in it would be lost
    this.shown = name + text;
    this.title.textContent = name;
    this.setPart(input === undefined ? "Arguments" : "Input", text);
  }

  /** Show a text, such as the arguments, below the title, which then folds it up. */
  setPart(label, text) {
    if (!this.details.parentNode) {
      this.details.firstChild.append(this.mark, this.title);
      this.root.prepend(this.details);
    }
    if (!this.parts[label]) {
      this.parts[label] = element("pre", { tabIndex: 0 });
      this.details.append(...(label ? [element("small", {}, label)] : []), this.parts[label]);
    }
    this.parts[label].textContent = indentJson(text);
  }
}

function indentJson(text) {
  try {
    const value = JSON.parse(text);
    return value instanceof Object ? JSON.stringify(value, null, 2) : text;
  } catch {
    return text; // none, or still incomplete
  }
}
