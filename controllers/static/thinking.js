// A model's reasoning: open while it comes in, folded up when the answer begins, unless the user has opened or closed it.
import { element } from "./dom.js";

export class Thinking {
  constructor() {
    this.startedAt = performance.now();
    this.seconds = null; // that it took, once it has ended
    this.label = element("summary");
    this.text = element("p");
    this.root = element("details", { className: "reasoning" }, this.label, this.text);
    this.label.addEventListener("click", () => (this.isUsers = true));
    this.show("Thinking…", true);
  }

  add(text) {
    this.text.append(text);
  }

  /** The seconds that it has taken so far. */
  get elapsed() {
    return this.seconds ?? (performance.now() - this.startedAt) / 1000;
  }

  end() {
    if (this.seconds === null) this.restore(this.elapsed);
  }

  /** Show reasoning that took so many seconds. */
  restore(seconds) {
    this.seconds = seconds;
    this.show(seconds < 1 ? "Thoughts" : `Thought for ${duration(Math.round(seconds))}`, false);
  }

  show(label, isThinking) {
    this.label.textContent = label;
    this.root.classList.toggle("thinking", isThinking);
    if (!this.isUsers) this.root.open = isThinking;
  }
}

const duration = (seconds) => (seconds < 60 ? `${seconds} s` : `${Math.floor(seconds / 60)} min ${seconds % 60} s`);
