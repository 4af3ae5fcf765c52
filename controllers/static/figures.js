// How fast an answer comes, and a plot of the gaps between its chunks.
import { element } from "./dom.js";

const SHOWN = 160; // gaps in the plot, the newest
const SVG = "http://www.w3.org/2000/svg";

export class Figures {
  constructor() {
    this.began = performance.now();
    this.first = this.last = null;
    this.gaps = [];
    this.longest = 0; // of all gaps
    this.chunks = 0;
    this.usage = null;
    this.list = element("dl");
    this.path = document.createElementNS(SVG, "path");
    this.plot = document.createElementNS(SVG, "svg");
    this.plot.setAttribute("viewBox", `0 0 ${SHOWN} 24`);
    this.plot.setAttribute("preserveAspectRatio", "none");
    this.plot.setAttribute("role", "img");
    this.plot.append(this.path);
    this.root = element("footer", { className: "figures", hidden: true }, this.list, this.plot);
  }

  /** A chunk has come. */
  note() {
    const now = performance.now();
    if (this.last === null) this.first = now - this.began;
    else this.gaps.push(now - this.last);
    this.longest = Math.max(this.longest, this.gaps.at(-1) ?? 0);
    this.last = now;
    this.chunks += 1;
  }

  render() {
    if (this.first === null) return;
    const seconds = (this.last - this.began - this.first) / 1000;
    const tokens = this.usage?.completion_tokens;
    const shown = [["first token", duration(this.first)], ["chunks", `${this.chunks}`]];
    if (this.usage) shown.push(["tokens", `${this.usage.prompt_tokens ?? "?"} → ${tokens ?? "?"}`]);
    // Of what came after the first chunk, from which on it is timed.
    const rate = ((tokens || this.chunks) * (1 - 1 / this.chunks)) / seconds;
    if (seconds >= 0.001) shown.push([tokens ? "tokens/s" : "chunks/s", number(rate)]);
    if (this.gaps.length) shown.push(["longest gap", duration(this.longest)]);
    this.list.replaceChildren(...shown.map(([name, value]) => element("div", {}, element("dt", {}, name), element("dd", {}, value))));
    this.draw(this.gaps.slice(-SHOWN));
    this.root.hidden = false;
  }

  /** A bar for each gap, as high as the root of its length, so that the short ones are seen beside the long. */
  draw(gaps) {
    const highest = Math.max(...gaps, 1);
    const step = SHOWN / Math.max(gaps.length, 48);
    const bars = gaps.map((gap, index) => `M${((index + 0.5) * step).toFixed(2)} 24V${(23 - 21 * Math.sqrt(gap / highest)).toFixed(2)}`);
    this.plot.toggleAttribute("hidden", !gaps.length);
    this.path.setAttribute("d", bars.join(""));
    this.path.setAttribute("stroke-width", (step * 0.62).toFixed(2));
    this.plot.setAttribute("aria-label", `Gaps between ${this.chunks} chunks, the longest ${duration(this.longest)}`);
  }
}

const number = (value) => (value < 10 ? value.toFixed(1) : Math.round(value).toLocaleString("en"));

const duration = (ms) => (ms < 1000 ? `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms` : `${(ms / 1000).toFixed(2)} s`);
