// The events of an answer, a row each. A call of a tool by the server and its result are one row.
import { element } from "./dom.js";
import { ToolCall } from "./toolcall.js";

export class EventList {
  /** `list` returns the list that a row is added to. */
  constructor(list) {
    this.list = list;
    this.calls = []; // each `{ id, name, row }`
    this.last = null; // the row of the last event, if that is no call
  }

  add(type, data) {
    if (this.last?.state === "running") this.last.setState("done");
    this.last = null;
    if (type !== "status" || !data?.description) return this.addOther(type, data);
    const { description, tool_call: call, tool_result: result, done } = data;
    if (call) this.start(description, call);
    else if (result) this.end(description, result);
    else this.last = this.addRow(description, done ? "done" : "running");
  }

  addOther(type, data) {
    const row = this.addRow(type, "done");
    if (data) row.setPart("", JSON.stringify(data));
  }

  addRow(title, state) {
    const row = new ToolCall("span");
    row.title.textContent = title;
    row.setState(state);
    this.list().append(element("li", {}, row.root));
    return row;
  }

  start(description, call) {
    const row = this.addRow(description, "running");
    this.calls.push({ ...call, row });
    if (call.arguments !== undefined) row.setPart("Arguments", asText(call.arguments));
    else row.setPart("", JSON.stringify(call));
  }

  /** Show a result in the row of its call: the oldest one that is running and has the same id or, without ids, name. */
  end(description, result) {
    const isItsCall = ({ id, name, row }) => row.state === "running" && (id || result.id ? id === result.id : name === result.name);
    const row = this.calls.find(isItsCall)?.row ?? this.addRow(description, "running");
    row.title.textContent = description;
    row.setState(result.error || result.status === "failed" ? "failed" : "done");
    if (result.result !== undefined) row.setPart(result.error ? "Error" : "Result", asText(result.result));
    else row.setPart("", JSON.stringify(result));
  }

  /** Handle the end of the answer: calls that still run have no result. */
  finish() {
    if (this.last?.state === "running") this.last.setState("done");
    this.calls.filter(({ row }) => row.state === "running").forEach(({ row }) => row.setState("ended"));
  }
}

const asText = (value) => (typeof value === "string" ? value : JSON.stringify(value));
