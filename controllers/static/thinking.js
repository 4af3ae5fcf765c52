// A model's reasoning: open while it comes in, folded up when the answer begins, unless the user has opened or closed it.
import { element } from "./dom.js";

export class Thinking {
  constructor() {
    this.seconds = 0;
    this.startedAt = null;
    this.label = element("summary");
    this.text = element("p");
    this.root = element("details", { className: "reasoning" }, this.label, this.text);
    this.label.addEventListener("click", () => (this.isUsers = true));
  }

  add(text) {
    this.text.append(text);
    if (this.startedAt !== null) return;
    this.startedAt = performance.now();
    this.show("Thinking…", true);
  }

  /** The seconds that it has taken so far. */
  get elapsed() {
    return this.seconds + (this.startedAt === null ? 0 : (performance.now() - this.startedAt) / 1000);
  }

  /** Handle the end of the reasoning, or of a part of it: some models go on after a piece of the answer. */
  end() {
    if (this.startedAt === null) return;
    this.restore(this.elapsed);
  }

  /** Show reasoning that took so many seconds. */
  restore(seconds) {
    this.seconds = seconds;
    this.startedAt = null;
    this.show(seconds < 1 ? "Thoughts" : `Thought for ${duration(Math.round(seconds))}`, false);
  }

  show(label, isThinking) {
    this.label.textContent = label;
    this.root.classList.toggle("thinking", isThinking);
    if (!this.isUsers) this.root.open = isThinking;
  }
}

const duration = (seconds) => (seconds < 60 ? `${seconds} s` : `${Math.floor(seconds / 60)} min ${seconds % 60} s`);
