// The events of a response, listed as they come: one row for a run of the same kind, which shows their JSON when opened.
import { copyButton, element } from "./dom.js";

const ROWS = 300; // the latest
const LINES = 200; // of a run; the latest

export class EventPanel {
  constructor() {
    this.startedAt = performance.now();
    this.events = [];
    this.runs = []; // of events of the same kind
    this.rendered = 0; // runs that have had a row
    this.count = element("span", { className: "count" });
    this.dropped = element("li", { className: "dropped", hidden: true });
    this.rows = element("ol", {}, this.dropped);
    const copy = copyButton("Copy as JSON lines", () => this.events.map((event) => `${JSON.stringify(event)}\n`).join(""));
    this.root = element("details", { className: "api-events", hidden: true, "aria-live": "off" }, element("summary", {}, "Events ", this.count), this.rows, copy);
    this.root.addEventListener("toggle", () => this.render());
  }

  add(event) {
    this.events.push(event);
    const kind = [event.type ?? event.object, event.item_id, event.content_index, event.summary_index].join(" ");
    if (this.runs.at(-1)?.kind !== kind) this.runs.push(new Run(kind, performance.now() - this.startedAt));
    this.runs.at(-1).events.push(event);
    this.frame ??= requestAnimationFrame(() => this.render());
  }

  /** Show the events so far. There are no rows until the panel is open. */
  render() {
    this.frame = null;
    this.root.hidden = false;
    this.count.textContent = this.events.length.toLocaleString("en");
    if (!this.root.open) return;
    const { rows } = this;
    const isFollowing = this.rendered > 0 && rows.scrollHeight - rows.scrollTop - rows.clientHeight < 4;
    const dropped = Math.max(this.runs.length - ROWS, 0);
    for (const run of this.runs.slice(Math.max(this.rendered - ROWS, 0), dropped)) run.drop();
    for (const run of this.runs.slice(Math.max(this.rendered - 1, dropped))) run.render(rows); // the last may have grown
    this.rendered = this.runs.length;
    this.dropped.textContent = `${dropped.toLocaleString("en")} earlier rows`;
    this.dropped.hidden = !dropped;
    if (isFollowing) rows.scrollTop = rows.scrollHeight;
  }
}

class Run {
  constructor(kind, delay) {
    this.kind = kind;
    this.delay = delay; // milliseconds
    this.events = [];
  }

  /** Show how many events there are by now in the row, which is added to `rows` at first. */
  render(rows) {
    if (!this.row) rows.append((this.row = this.create()));
    const [first, last] = [this.events[0], this.events.at(-1)];
    this.times.textContent = this.events.length > 1 ? ` × ${this.events.length.toLocaleString("en")}` : "";
    this.numbers.textContent = [...new Set([first.sequence_number, last.sequence_number])].join("–");
    this.fill();
  }

  create() {
    const words = (this.events[0].type ?? this.events[0].object).split(/(?<=[._])/).flatMap((word) => [word, element("wbr")]);
    this.times = element("b");
    this.numbers = element("span");
    this.json = element("pre", { tabIndex: 0 });
    const time = element("span", {}, `${(this.delay / 1000).toFixed(2)} s`);
    this.details = element("details", {}, element("summary", {}, element("code", {}, ...words, this.times), this.numbers, time), this.json);
    this.details.addEventListener("toggle", () => this.fill());
    return element("li", { className: /(^|\.)(error|failed)$/.test(this.events[0].type) ? "failed" : "" }, this.details);
  }

  /** Show the JSON of the events while the row is open: of one on many lines, of several on a line each. */
  fill() {
    const { events } = this;
    if (!this.details.open) this.json.textContent = "";
    else if (events.length === 1) this.json.textContent = JSON.stringify(events[0], null, 2);
    else this.json.textContent = [...(events.length > LINES ? ["…"] : []), ...events.slice(-LINES).map((event) => JSON.stringify(event))].join("\n");
  }

  drop() {
    this.row?.remove();
    this.row = null;
  }
}
