// The Responses API: the request of a chat in its form, and its events as the chunks of a chat.
import { post } from "./api.js";
import { EventPanel } from "./responses.panel.js";

export const RESPONSES = {
  path: "responses",
  toBody,
  complete,
  python: {
    create: "client.responses.create",
    required: ["model", "input"],
    whole: ["print(result.output_text)"],
    streamed: ["for event in stream:", '    if event.type == "response.output_text.delta":', '        print(event.delta, end="", flush=True)'],
  },
};

// The request

/** Return the request that asks for the same as that of a chat. The server keeps nothing: the page sends the whole conversation. */
function toBody({ model, messages, max_tokens, max_completion_tokens, response_format, reasoning_effort, tools, tool_choice, stream_options, ...rest }) {
  const isInstructed = messages[0]?.role === "system" && typeof messages[0].content === "string";
  const { include_usage, ...streamOptions } = stream_options ?? {}; // the usage always comes
  const types = Object.fromEntries(messages.flatMap((message) => (message.tool_calls ?? []).map(({ id, type }) => [id, type])));
  const translated = {
    model,
    input: messages.slice(isInstructed ? 1 : 0).flatMap((message) => toItems(message, types)),
    instructions: isInstructed ? messages[0].content : undefined,
    max_output_tokens: max_completion_tokens ?? max_tokens,
    text: response_format && { format: flat(response_format) },
    reasoning: reasoning_effort && { effort: reasoning_effort },
    tools: Array.isArray(tools) ? tools.map(flat) : tools,
    tool_choice: flat(tool_choice),
    stream_options: Object.keys(streamOptions).length ? streamOptions : undefined,
    store: false,
  };
  return { ...Object.fromEntries(Object.entries(translated).filter(([, value]) => value !== undefined)), ...rest };
}

/** Return the items of a message: its text, and each of its tool calls. A result is an item of the type of its call. */
function toItems({ role, content, tool_calls: calls = [], tool_call_id: callId, ...rest }, types) {
  const parts = Array.isArray(content) ? content.map(toPart) : content;
  if (role === "tool") return [{ type: types[callId] === "custom" ? "custom_tool_call_output" : "function_call_output", call_id: callId, output: parts }];
  const items = calls.map(({ id, type, [type]: called }) => ({ type: type === "custom" ? "custom_tool_call" : "function_call", call_id: id, ...called }));
  return [...(content || !calls.length ? [{ role, content: parts, ...rest }] : []), ...items];
}

function toPart(part) {
  if (part.type === "text") return { ...part, type: "input_text" };
  if (part.type === "image_url") return { type: "input_image", image_url: part.image_url.url, detail: part.image_url.detail ?? "auto" };
  if (part.type === "file") return { type: "input_file", ...part.file };
  return part;
}

/** Return a tool, a choice of one or a format without the object that a chat nests it in, which is named after its type. */
function flat(value) {
  const { [value?.type]: nested, ...rest } = value ?? {};
  return nested instanceof Object ? { ...rest, ...nested } : value;
}

// The response

/** Yield what a response says, streamed or whole, as chunks of a chat, and list its events below `footer`. */
async function* complete(body, { key, signal, footer }) {
  const panel = new EventPanel();
  footer.after(panel.root);
  const reader = new Reader();
  const options = { key, signal, onObject: (event) => panel.add(event) };
  for await (const event of post("responses", body, options, checkWhole)) {
    for (const each of event.type ? [event] : eventsOf(event)) {
      const chunk = reader.read(each);
      if (chunk) yield chunk;
    }
  }
}

function checkWhole(response) {
  if (!Array.isArray(response.output)) throw new TypeError("not a response");
  return response;
}

/** Yield the events that a response which is not streamed would have been sent by. */
function* eventsOf(response) {
  for (const [output_index, item] of response.output.entries()) {
    const place = { output_index, item_id: item.id };
    yield { type: "response.output_item.added", ...place, item };
    for (const [summary_index, { text }] of (item.summary ?? []).entries()) {
      yield { type: "response.reasoning_summary_text.delta", ...place, summary_index, delta: text };
    }
    for (const [content_index, part] of (item.content ?? []).entries()) {
      yield { type: `response.${part.type}.delta`, ...place, content_index, delta: part.text ?? part.refusal };
      for (const annotation of part.annotations ?? []) yield { type: "response.output_text.annotation.added", annotation };
    }
    yield { type: "response.output_item.done", ...place, item };
  }
  yield { type: `response.${response.status}`, response };
}

const CALLS = { function_call: ["function", "arguments"], custom_tool_call: ["custom", "input"] }; // as a chat names the type, and the field that the model fills in

const deltaChunk = (delta) => ({ choices: [{ index: 0, delta }] });

/** Turns events into chunks of a chat. */
class Reader {
  constructor() {
    this.calls = []; // the indexes of the calls in the output
    this.lastPart = {}; // where the last text of each kind was, by its field in a chat
  }

  /** Return the chunk that says the same as an event; null if none does. */
  read(event) {
    switch (event.type) {
      case "response.output_text.delta":
      case "response.refusal.delta":
        return this.text("content", event);
      case "response.reasoning_text.delta":
        return this.text("reasoning_content", event);
      case "response.reasoning_summary_text.delta": // the server sends both if it is asked for a summary
        return this.lastPart.reasoning_content?.includes("content") ? null : this.text("reasoning_content", event);
      case "response.function_call_arguments.delta":
        return this.call(event.output_index, { function: { arguments: event.delta } });
      case "response.custom_tool_call_input.delta":
        return this.call(event.output_index, { custom: { input: event.delta } });
      case "response.output_item.added":
      case "response.output_item.done":
        return this.item(event);
      case "response.output_text.annotation.added":
        return { event: { type: "citation", data: toCitation(event.annotation) } };
      case "response.completed":
      case "response.incomplete":
      case "response.failed":
        return toEnd(event.response);
    }
    return event.event ? { event: event.event } : null; // a model's own event
  }

  /** Return a piece of text, after an empty line if another part of the same kind came before, and it has none itself. */
  text(field, { delta, item_id: id, content_index: content, summary_index: summary }) {
    const part = `${id} ${summary === undefined ? "content" : "summary"} ${content ?? summary}`;
    const separator = (this.lastPart[field] ?? part) === part || delta.startsWith("\n") ? "" : "\n\n";
    this.lastPart[field] = part;
    return deltaChunk({ [field]: separator + delta });
  }

  call(outputIndex, call) {
    if (!this.calls.includes(outputIndex)) this.calls.push(outputIndex);
    return deltaChunk({ tool_calls: [{ index: this.calls.indexOf(outputIndex), ...call }] });
  }

  /** Return the beginning of a call, or the state of an item that the server itself works on, such as a search. */
  item({ type, item, output_index: index }) {
    if (["message", "reasoning"].includes(item.type)) return null;
    const isDone = type.endsWith("done");
    if (item.type in CALLS) {
      const [kind, field] = CALLS[item.type];
      return isDone ? null : this.call(index, { id: item.call_id, type: kind, [kind]: { name: item.name, [field]: item[field] } });
    }
    const description = item.type.replaceAll("_", " ");
    return { event: { type: "status", data: { description, done: isDone, [isDone ? "tool_result" : "tool_call"]: item } } };
  }
}

function toCitation({ url, title, filename, file_id: fileId, ...rest }) {
  return { source: { name: title ?? filename ?? url ?? fileId, url }, document: [rest.quote ?? rest.text ?? ""] };
}

function toEnd({ usage, incomplete_details: incomplete }) {
  const { input_tokens: prompt_tokens, output_tokens: completion_tokens, total_tokens } = usage ?? {};
  const choices = incomplete ? [{ index: 0, delta: {}, finish_reason: incomplete.reason }] : [];
  return { choices, usage: { prompt_tokens, completion_tokens, total_tokens } };
}
