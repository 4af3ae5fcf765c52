// The speed of a response, and a plot of the gaps between its chunks.
import { SVG, element } from "./dom.js";

const PLOTTED = 160; // the latest gaps

export class Stats {
  constructor() {
    this.startedAt = performance.now();
    this.firstDelay = this.lastAt = null;
    this.gaps = [];
    this.longestGap = 0; // of all gaps, not only those plotted
    this.chunks = 0;
    this.usage = null;
    this.list = element("dl");
    this.path = document.createElementNS(SVG, "path");
    this.plot = document.createElementNS(SVG, "svg");
    this.plot.setAttribute("viewBox", `0 0 ${PLOTTED} 24`);
    this.plot.setAttribute("preserveAspectRatio", "none");
    this.plot.setAttribute("role", "img");
    this.plot.append(this.path);
    this.root = element("footer", { className: "stats", hidden: true }, this.list, this.plot);
  }

  /** Return the figures, to show them again by `restore`. */
  save() {
    const { startedAt, firstDelay, lastAt, longestGap, chunks, usage } = this;
    return { startedAt, firstDelay, lastAt, longestGap, chunks, usage, gaps: this.gaps.slice(-PLOTTED) };
  }

  restore(saved) {
    Object.assign(this, saved);
  }

  /** Count a chunk that has just arrived. */
  countChunk() {
    const now = performance.now();
    if (this.lastAt === null) this.firstDelay = now - this.startedAt;
    else this.gaps.push(now - this.lastAt);
    this.longestGap = Math.max(this.longestGap, this.gaps.at(-1) ?? 0);
    this.lastAt = now;
    this.chunks += 1;
  }

  render() {
    if (this.firstDelay === null) return;
    const seconds = (this.lastAt - this.startedAt - this.firstDelay) / 1000;
    const tokens = this.usage?.completion_tokens;
    const stats = [["first token", duration(this.firstDelay)], [this.chunks === 1 ? "chunk" : "chunks", `${this.chunks}`]];
    if (this.usage) stats.push(["tokens", `${this.usage.prompt_tokens} → ${tokens}`]);
    // The time starts with the first chunk, so what that chunk carried does not count.
    const rate = ((tokens || this.chunks) * (1 - 1 / this.chunks)) / seconds;
    if (seconds >= 0.001) stats.push([tokens ? "tokens/s" : "chunks/s", number(rate)]);
    if (this.gaps.length) stats.push(["longest gap", duration(this.longestGap)]);
    this.list.replaceChildren(...stats.map(([name, value]) => element("div", {}, element("dt", {}, name), element("dd", {}, value))));
    this.draw(this.gaps.slice(-PLOTTED));
    this.root.hidden = false;
  }

  /** Draw a bar for each gap. Heights are square roots, so that short gaps stay visible beside long ones. */
  draw(gaps) {
    const highest = Math.max(...gaps, 1);
    const step = PLOTTED / Math.max(gaps.length, 48);
    const bars = gaps.map((gap, index) => `M${((index + 0.5) * step).toFixed(2)} 24V${(23 - 21 * Math.sqrt(gap / highest)).toFixed(2)}`);
    this.plot.toggleAttribute("hidden", !gaps.length);
    this.path.setAttribute("d", bars.join(""));
    this.path.setAttribute("stroke-width", (step * 0.62).toFixed(2));
    this.plot.setAttribute("aria-label", `Gaps between ${this.chunks} chunks, the longest ${duration(this.longestGap)}`);
  }
}

const number = (value) => (value < 10 ? value.toFixed(1) : Math.round(value).toLocaleString("en"));

const duration = (ms) => (ms < 1000 ? `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms` : `${(ms / 1000).toFixed(2)} s`);
