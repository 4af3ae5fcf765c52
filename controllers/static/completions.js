// The API, as any client uses it: fetch, and the frames of a stream.

/** What went wrong, in a sentence, and the id under which the server's log has it. */
export class ApiError extends Error {
  constructor(message, { status, code, requestId } = {}) {
    super(message);
    Object.assign(this, { status, code, requestId });
  }
}

/** The models that the server lists. */
export async function listModels(key) {
  const response = await ask("/v1/models", { headers: headers(key) });
  return (await response.json()).data;
}

/** The frames of an answer, as they come. An answer in one piece is one frame. Leaving early tells the server to stop. */
export async function* complete(body, { key, signal }) {
  const request = { method: "POST", body: JSON.stringify(body), headers: { ...headers(key), "content-type": "application/json" }, signal };
  const response = await ask("/v1/chat/completions", request);
  const requestId = response.headers.get("x-request-id");
  if (!response.headers.get("content-type").startsWith("text/event-stream")) {
    const { choices, ...rest } = await response.json();
    yield { ...rest, choices: choices.map(({ message, ...choice }) => ({ ...choice, delta: message })) };
    return;
  }
  for await (const data of events(response.body)) {
    if (data === "[DONE]") return;
    const frame = JSON.parse(data);
    if (frame.error) throw new ApiError(frame.error.message, { ...frame.error, requestId });
    yield frame;
  }
  throw new ApiError("The connection was cut before the answer was complete.", { requestId });
}

function cut(error) {
  if (error.name === "AbortError") throw error;
  return { done: true };
}

const headers = (key) => (key ? { authorization: `Bearer ${key}` } : {});

async function ask(path, options) {
  const response = await fetch(path, options).catch((error) => {
    if (error.name === "AbortError") throw error;
    throw new ApiError("The server could not be reached. Does it still run?");
  });
  if (response.ok) return response;
  const { error } = await response.json().catch(() => ({}));
  const message = error?.message ?? `The server answered ${response.status}, and not as this API does.`;
  throw new ApiError(message, { code: error?.code, status: response.status, requestId: response.headers.get("x-request-id") });
}

/** The data of each event of a stream; its comments, which keep a silent stream open, are left out. */
async function* events(stream) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { value, done } = await reader.read().catch(cut);
      if (done) return;
      const parts = (rest + value).split("\n\n");
      rest = parts.pop();
      for (const part of parts) {
        const data = part.split("\n").filter((line) => line.startsWith("data:"));
        if (data.length) yield data.map((line) => line.slice(5).trimStart()).join("\n");
      }
    }
  } finally {
    await reader.cancel().catch(() => {});
  }
}
