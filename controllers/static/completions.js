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
  const response = await ask("/v1/models", key);
  return understood(response, async () => (await response.json()).data.map(({ id, owned_by }) => ({ id, owned_by })));
}

/** The OpenAPI document. */
export async function readDocument(key) {
  const response = await ask("/schema/openapi.json", key);
  return understood(response, () => response.json());
}

/** The frames of an answer, as they come. An answer in one piece is one frame. Leaving early tells the server to stop. */
export async function* complete(body, { key, signal }) {
  const response = await ask("/v1/chat/completions", key, { method: "POST", body: JSON.stringify(body), signal });
  const requestId = response.headers.get("x-request-id");
  if (!response.headers.get("content-type")?.startsWith("text/event-stream")) {
    yield understood(response, async () => {
      const { choices, ...rest } = await response.json();
      return { ...rest, choices: choices.map(({ message, ...choice }) => ({ ...choice, delta: message })) };
    });
    return;
  }
  for await (const data of events(response.body)) {
    if (data === "[DONE]") return;
    const frame = await understood(response, () => ({ ...JSON.parse(data) }));
    if (frame.error) throw new ApiError(frame.error.message, { ...frame.error, requestId });
    yield frame;
  }
  throw new ApiError("The connection was cut before the answer was complete.", { requestId });
}

function cut(error) {
  if (error.name === "AbortError") throw error;
  return { done: true };
}

async function ask(path, key, options = {}) {
  if (/[^\x20-\xff]/.test(key)) throw new ApiError("The API key has characters that no header can carry.", { status: 401 });
  const headers = { ...(key ? { authorization: `Bearer ${key}` } : {}), ...(options.body ? { "content-type": "application/json" } : {}) };
  const response = await fetch(path, { headers, ...options }).catch((error) => {
    if (error.name === "AbortError") throw error;
    throw new ApiError("The server could not be reached. Does it still run?");
  });
  if (response.ok) return response;
  throw problem(response, (await response.json().catch(() => null))?.error);
}

/** What `read` makes of a response; where it fails, that is none of this API: the page of a proxy, it may be. */
async function understood(response, read) {
  try {
    return await read();
  } catch {
    throw problem(response);
  }
}

function problem(response, error) {
  const message = error?.message ?? `The server answered ${response.status}, and not as this API does.`;
  return new ApiError(message, { code: error?.code, status: response.status, requestId: response.headers.get("x-request-id") });
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
