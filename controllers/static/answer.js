// A model's response, shown while it streams in.
import { Body } from "./body.js";
import { copyButton, element, errorBox, isSubmitKey } from "./dom.js";
import { Recording } from "./recording.js";
import { Stats } from "./stats.js";

export const RELOAD = "Interrupted by a reload."; // the note of an answer that did not end

export class Answer {
  /** `sendResults` takes the tool messages that the user fills in, and returns whether they were sent. */
  constructor(model, sendResults) {
    this.model = model;
    this.sendResults = sendResults;
    this.recording = new Recording();
    this.calls = []; // tool calls in the API's form
    this.cards = []; // the row of each tool call
    this.body = new Body();
    this.stats = new Stats();
    this.sections = {};
    this.renderAfter = 0; // milliseconds
    this.actions = element("div", { className: "actions" });
    this.root = element(
      "article",
      { className: "answer", "aria-busy": "true", "aria-label": `Response from ${model}`, "data-model": model },
      element("header", {}, model),
      this.body.root,
      this.stats.root,
      this.actions,
    );
  }

  /** Return the answer in a form to store; `restore` shows it again. */
  save() {
    const { model, recording, end } = this;
    return { answer: { model, end, chunks: recording.chunks, stats: this.stats.save(), seconds: this.body.thoughts.map(({ elapsed }) => elapsed) } };
  }

  static restore({ model, end, chunks, stats, seconds }, sendResults) {
    const answer = new Answer(model, sendResults);
    chunks.forEach((chunk) => answer.add(chunk));
    answer.body.thoughts.forEach((thought, index) => thought.restore(seconds[index]));
    answer.stats.restore(stats);
    if (end?.isComplete) answer.complete();
    else answer.interrupt(end?.error, end ? end.note : RELOAD);
    return answer;
  }

  add(chunk) {
    if (chunk.event) this.addEvent(chunk.event);
    if (chunk.usage?.total_tokens) this.stats.usage = chunk.usage;
    for (const { index, delta, finish_reason: reason } of chunk.choices ?? []) {
      if (index) {
        this.note("The model returned several choices; only the first is shown.");
        continue;
      }
      if (this.addDelta(delta ?? {})) this.stats.countChunk();
      if (reason && !["stop", "tool_calls"].includes(reason)) this.note(`Finish reason: ${reason}.`);
    }
    this.recording.add(chunk); // not before: one that cannot be shown would keep the conversation from being restored
    if (!this.frame) this.scheduleRender();
  }

  /** Render in the next animation frame; if rendering is slow, less often, so that it takes a quarter of the time at most. */
  scheduleRender() {
    this.frame = requestAnimationFrame(() => (performance.now() < this.renderAfter ? this.scheduleRender() : this.render()));
  }

  /** Add a delta; return whether it had any content. */
  addDelta(delta) {
    const reasoning = delta.reasoning_content ?? delta.reasoning;
    if (reasoning) this.body.addThought(reasoning);
    if (delta.content) this.body.addText(delta.content);
    if (delta.refusal) this.body.addText(delta.refusal);
    (delta.tool_calls ?? []).forEach((call, position) => this.addCall(call, call.index ?? position));
    return Boolean(reasoning || delta.content || delta.refusal || delta.tool_calls?.length);
  }

  render() {
    const startedAt = performance.now();
    this.frame = null;
    this.body.render();
    this.renderCalls();
    this.stats.render();
    this.renderAfter = startedAt + 4 * (performance.now() - startedAt);
  }

  renderCalls() {
    this.calls.forEach((call, index) => this.cards[index].setCall(call[call.type]));
  }

  /** Handle the regular end of the stream. */
  complete() {
    this.end = { isComplete: true };
    if (this.calls.length) this.askForResults();
    else if (!this.body.text) this.note("The model returned no text.");
  }

  /** Handle an early end, by an error or by the user. Tool calls are dropped, as they may be incomplete. */
  interrupt(error, note = "Stopped.") {
    this.end = { note, error: error && { ...error, message: error.message } };
    this.renderCalls();
    this.calls = [];
    this.cards.forEach((card) => card.setState("ended"));
    if (error) this.stats.root.before(errorBox(error));
    else this.note(note);
  }

  /** Render the whole answer and show the buttons. */
  finish(actions) {
    cancelAnimationFrame(this.frame);
    this.body.finish();
    this.render();
    this.root.removeAttribute("aria-busy");
    const { text } = this.body;
    this.actions.append(...(text ? [copyButton("Copy", () => text)] : []), ...actions);
  }

  /** Ask the user for the results of the tool calls. */
  askForResults() {
    this.fields = this.calls.map((call, index) => element("input", { placeholder: "Result", "aria-label": `Result of ${call[call.type].name}, call ${index + 1}` }));
    this.results = element("form", { className: "results" }, element("button", {}, this.calls.length > 1 ? "Send results" : "Send result"));
    this.fields.forEach((field, index) => {
      this.cards[index].setState("waiting");
      this.cards[index].root.append(field);
      field.addEventListener("keydown", (event) => isSubmitKey(event) && this.results.requestSubmit());
    });
    this.results.addEventListener("submit", (event) => {
      event.preventDefault();
      this.sendResults(this.calls.map(({ id }, index) => ({ role: "tool", tool_call_id: id, content: this.fields[index].value })));
    });
    this.section("results", () => this.results);
  }

  /** Show a result in the row of its call. */
  addResult({ tool_call_id: id, content }) {
    const index = this.calls.findIndex((call, index) => call.id === id && this.cards[index].state === "waiting");
    this.cards[index].setState("done");
    this.cards[index].setPart("Result", content);
    this.fields[index].remove();
    this.results.remove();
  }

  /** Show a remark of the page, once. */
  note(text) {
    this.section(text, () => element("p", { className: "note" }, text));
  }

  /** The assistant message for the next request; null if the response is empty. */
  get message() {
    const content = this.body.text;
    if (!content && !this.calls.length) return null;
    return { role: "assistant", content: content || null, ...(this.calls.length ? { tool_calls: this.calls } : {}) };
  }

  /** Return a section after the body, created on first use. */
  section(name, create) {
    if (!this.sections[name]) this.stats.root.before((this.sections[name] = create()));
    return this.sections[name];
  }

  addCall({ id, type = "function", ...parts }, index) {
    const empty = type === "custom" ? { name: "", input: "" } : { name: "", arguments: "" };
    const call = (this.calls[index] ??= { id, type, [type]: empty });
    call.id ??= id;
    const called = call[call.type];
    for (const field of Object.keys(called)) called[field] += parts[call.type]?.[field] ?? "";
    this.cards[index] ??= this.body.addCard();
  }

  addEvent(event) {
    const { type = "event", data = event } = event; // an event without `data` is shown whole
    if (type === "citation" || type === "source") return this.addSource(data);
    this.body.events.add(type, data);
  }

  addSource(data) {
    const { source, document, metadata } = data ?? {};
    const section = this.section("sources", () => element("section", { className: "sources" }, element("h3", {}, "Sources"), element("ol")));
    const name = source?.name ?? metadata?.[0]?.source ?? "Unnamed";
    const text = [document ?? []].flat().join("\n\n").trim();
    const isLink = /^https?:/i.test(source?.url ?? "");
    const link = isLink ? [element("a", { href: source.url, target: "_blank", rel: "noopener noreferrer" }, source.url), "\n"] : [];
    section.lastChild.append(element("li", {}, element("details", {}, element("summary", {}, name), element("p", {}, ...link, text))));
  }
}
