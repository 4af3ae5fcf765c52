// Client of the server's OpenAI-compatible API.

/** An error with a message to show, and the request id that the server's log has. */
export class ApiError extends Error {
  constructor(message, { status, code, requestId } = {}) {
    super(message);
    Object.assign(this, { status, code, requestId });
  }
}

export async function listModels(key) {
  const response = await request("v1/models", key);
  return parse(response, async () => (await response.json()).data.map(({ id, type, owned_by, description }) => ({ id, type, owned_by, description })));
}

export async function fetchDocument(key) {
  const response = await request("schema/openapi.json", key);
  return parse(response, () => response.json());
}

/** Chat Completions. An API makes its request from that of a chat, and yields its answer as chunks of a chat. */
export const CHAT = {
  path: "chat/completions",
  toBody: (chat) => chat,
  complete: (body, options) => post("chat/completions", body, options, toChunk),
  python: {
    create: "client.chat.completions.create",
    required: ["model", "messages"],
    whole: ["print(result.choices[0].message.content)"],
    streamed: ["for chunk in stream:", "    if chunk.choices:", '        print(chunk.choices[0].delta.content or "", end="", flush=True)'],
  },
};

function toChunk({ choices, ...rest }) {
  return { ...rest, choices: choices.map(({ message, ...choice }) => ({ ...choice, delta: message })) };
}

/**
 * Send a request and yield the objects of its stream, or the one that `fromWhole` makes of a response without a stream.
 * `onObject` gets each object as it was received, errors too. Leaving the loop cancels the request.
 */
export async function* post(path, body, { key, signal, onObject = () => {} }, fromWhole) {
  const response = await request(`v1/${path}`, key, { method: "POST", body: JSON.stringify(body), signal });
  if (response.headers.get("content-type")?.startsWith("text/event-stream")) return yield* streamed(response, onObject);
  yield parse(response, async () => {
    const received = await response.json();
    onObject(received);
    return fromWhole(received);
  });
}

/** Yield the objects of a stream; at its end, throw the first error that was in it. */
async function* streamed(response, onObject) {
  const requestId = response.headers.get("x-request-id");
  let failure = null;
  for await (const data of serverSentEvents(response.body)) {
    if (data === "[DONE]") {
      if (failure) throw failure;
      return;
    }
    const received = await parse(response, () => ({ ...JSON.parse(data) }));
    onObject(received);
    const error = received.error ?? received.response?.error;
    if (error) failure ??= new ApiError(error.message, { ...error, requestId });
    yield received;
  }
  throw failure ?? new ApiError("The connection was lost before the response was complete.", { requestId });
}

async function request(path, key, options = {}) {
  if (/[^\x20-\xff]/.test(key)) throw new ApiError("The API key contains characters that a header cannot carry.", { status: 401 });
  const headers = { ...(key ? { authorization: `Bearer ${key}` } : {}), ...(options.body ? { "content-type": "application/json" } : {}) };
  const response = await fetch(path, { headers, ...options }).catch((error) => {
    if (error.name === "AbortError") throw error;
    throw new ApiError("The server could not be reached. Is it still running?");
  });
  if (response.ok) return response;
  throw toApiError(response, (await response.json().catch(() => null))?.error);
}

/** Return what `read` makes of a response. If it fails, the response is not this API's, but a proxy's page, say. */
async function parse(response, read) {
  try {
    return await read();
  } catch {
    throw toApiError(response);
  }
}

function toApiError(response, error) {
  const message = error?.message ?? `Unexpected response from the server (status ${response.status}).`;
  return new ApiError(message, { code: error?.code, status: response.status, requestId: response.headers.get("x-request-id") });
}

/** Yield the data of each event. Comments, which keep an idle connection open, are skipped. */
async function* serverSentEvents(stream) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { value, done } = await reader.read().catch(endUnlessAborted);
      if (done) return;
      const events = (rest + value).split("\n\n");
      rest = events.pop();
      for (const event of events) {
        const data = event.split("\n").filter((line) => line.startsWith("data:"));
        if (data.length) yield data.map((line) => line.slice(5).trimStart()).join("\n");
      }
    }
  } finally {
    await reader.cancel().catch(() => {});
  }
}

/** Take a lost connection for the end of the stream; `complete` then misses `[DONE]`. */
function endUnlessAborted(error) {
  if (error.name === "AbortError") throw error;
  return { done: true };
}
