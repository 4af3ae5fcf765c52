// One answer on the page: what its frames bring, shown as they come.
import { copyButton, element, errorBox, sends } from "./dom.js";
import { Figures } from "./figures.js";
import { Markdown } from "./markdown.js";

export class Answer {
  /** An answer of a model; `sendResults` is given what its tools have returned, and returns whether that was sent. */
  constructor(model, sendResults) {
    this.sendResults = sendResults;
    this.calls = []; // tool calls, as they go back to the server
    this.cards = [];
    this.body = element("div", { className: "text" });
    this.markdown = new Markdown(this.body);
    this.figures = new Figures();
    this.parts = {};
    this.renderAfter = 0; // milliseconds
    this.actions = element("div", { className: "actions" });
    this.root = element(
      "article",
      { className: "answer", "aria-busy": "true", "aria-label": `Answer of ${model}` },
      element("header", {}, model),
      this.body,
      this.figures.root,
      this.actions,
    );
  }

  /** Show what a frame brings. */
  take(frame) {
    if (frame.event) this.showEvent(frame.event);
    if (frame.usage) this.figures.usage = frame.usage;
    for (const { index, delta, finish_reason: reason } of frame.choices ?? []) {
      if (index) {
        this.note("The model gave more answers; the first is shown.");
        continue;
      }
      if (this.takeDelta(delta ?? {})) this.figures.note();
      if (reason && !["stop", "tool_calls"].includes(reason)) this.note(`Ended by: ${reason}.`);
    }
    if (!this.frame) this.renderSoon();
  }

  /** Render in the next frame; an answer that takes long to render is rendered less often, so that the page can be used. */
  renderSoon() {
    this.frame = requestAnimationFrame(() => (performance.now() < this.renderAfter ? this.renderSoon() : this.render()));
  }

  /** Whether the delta brought anything. */
  takeDelta(delta) {
    const reasoning = delta.reasoning_content ?? delta.reasoning;
    if (reasoning) this.showReasoning(reasoning);
    if (delta.content) this.markdown.append(delta.content);
    if (delta.refusal) this.markdown.append(delta.refusal);
    (delta.tool_calls ?? []).forEach((call, position) => this.showCall(call, call.index ?? position));
    return Boolean(reasoning || delta.content || delta.refusal || delta.tool_calls?.length);
  }

  render() {
    const began = performance.now();
    this.frame = null;
    this.markdown.render();
    this.figures.render();
    if (this.markdown.text && this.parts.reasoning) this.parts.reasoning.classList.remove("thinking");
    this.renderAfter = began + 2 * (performance.now() - began);
  }

  /** The model has said all that it wanted to. */
  complete() {
    if (this.calls.length) this.askForResults();
    else if (!this.markdown.text) this.note("The model said nothing.");
  }

  /** The answer has ended early: its calls may be written by half. */
  cut(error) {
    this.calls = [];
    if (error) this.figures.root.before(errorBox(error));
    else this.note("Stopped.");
  }

  /** Nothing more comes. */
  finish(actions) {
    cancelAnimationFrame(this.frame);
    this.render();
    this.root.removeAttribute("aria-busy");
    this.parts.reasoning?.classList.remove("thinking");
    const text = () => this.markdown.text;
    this.actions.append(...(text() ? [copyButton("Copy", text)] : []), ...actions);
  }

  /** Ask for what the tools return, which only the reader knows. */
  askForResults() {
    const fields = this.calls.map((call, index) => element("input", { placeholder: "What it returned", "aria-label": `Result of ${call.function.name}, call ${index + 1}` }));
    fields.forEach((field, index) => this.cards[index].append(field));
    const form = element("form", { className: "results" }, element("button", {}, this.calls.length > 1 ? "Send the results" : "Send the result"));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (!this.sendResults(this.calls.map(({ id }, index) => ({ role: "tool", tool_call_id: id, content: fields[index].value })))) return;
      form.remove();
      fields.forEach((field) => (field.disabled = true));
    });
    fields.forEach((field) => field.addEventListener("keydown", (event) => sends(event) && form.requestSubmit()));
    this.parts.calls.append(form);
  }

  /** A remark of the page's own, made once. */
  note(text) {
    this.part(text, () => element("p", { className: "note" }, text), "after");
  }

  /** What the model would say of this answer in the next request; null if it said nothing. */
  get message() {
    const content = this.markdown.text;
    if (!content && !this.calls.length) return null;
    return { role: "assistant", content: content || null, ...(this.calls.length ? { tool_calls: this.calls } : {}) };
  }

  /** A part of the answer that stands before or after its text, made when it is first needed. */
  part(name, make, where) {
    return (this.parts[name] ??= (() => {
      const made = make();
      (where === "after" ? this.figures.root : this.body).before(made);
      return made;
    })());
  }

  showReasoning(text) {
    const make = () => element("details", { className: "reasoning thinking" }, element("summary", {}, "Reasoning"), element("p"));
    this.part("reasoning", make, "before").lastChild.append(text);
  }

  showCall({ id, function: called }, index) {
    const calls = this.part("calls", () => element("section", { className: "calls", "aria-label": "Tool calls" }), "after");
    const call = (this.calls[index] ??= { id, type: "function", function: { name: "", arguments: "" } });
    call.id ??= id;
    call.function.name += called?.name ?? "";
    call.function.arguments += called?.arguments ?? "";
    if (!this.cards[index]) calls.append((this.cards[index] = element("div", { className: "card" }, element("strong"), element("pre", { tabIndex: 0 }))));
    const [name, parameters] = this.cards[index].children;
    name.textContent = call.function.name;
    parameters.textContent = indented(call.function.arguments);
  }

  showEvent(event) {
    const { type = "event", data = event } = event; // one of another shape is shown as it is
    if (type === "citation" || type === "source") return this.showSource(data);
    const list = this.part("events", () => element("ol", { className: "events", "aria-label": "Events" }), "before");
    const status = type === "status" && data?.description;
    const details = status ? (data.tool_call ?? data.tool_result) : data;
    const item = element("li", { className: status && !data.done ? "" : "done" });
    const said = status || type;
    if (details) item.append(element("details", {}, element("summary", {}, said), element("pre", { tabIndex: 0 }, JSON.stringify(details, null, 2))));
    else item.append(said);
    list.lastElementChild?.classList.add("done");
    list.append(item);
  }

  showSource(data) {
    const { source, document, metadata } = data ?? {};
    const section = this.part("sources", () => element("section", { className: "sources" }, element("h3", {}, "Sources"), element("ol")), "after");
    const name = source?.name ?? metadata?.[0]?.source ?? "Unnamed";
    const text = [document ?? []].flat().join("\n\n").trim();
    section.lastChild.append(element("li", {}, element("details", {}, element("summary", {}, name), element("p", {}, text))));
  }
}

function indented(json) {
  try {
    return JSON.stringify(JSON.parse(json), null, 2);
  } catch {
    return json; // it is still coming
  }
}
