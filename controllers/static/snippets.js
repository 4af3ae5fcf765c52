// A request as code. The API key is not in it, but read from the environment variable API_KEY.

export function curl(body, key) {
  const lines = [
    `curl ${body.stream ? "--no-buffer " : ""}${baseUrl()}/chat/completions`,
    "-H 'content-type: application/json'",
    ...(key ? ['-H "authorization: Bearer $API_KEY"'] : []),
    `-d '${JSON.stringify(body, null, 2).replaceAll("'", "'\\''")}'`,
  ];
  return lines.join(" \\\n  ");
}

/** Return a program that uses OpenAI's client, which takes unknown parameters in `extra_body` only. */
export function python(body, extra, key) {
  const { model, messages, stream, ...rest } = body;
  const standard = Object.entries(rest).filter(([name]) => !(name in extra));
  const extraBody = Object.fromEntries(Object.entries(rest).filter(([name]) => name in extra));
  const options = Object.entries({ model, messages, ...Object.fromEntries(standard), ...(stream ? { stream } : {}) });
  if (Object.keys(extraBody).length) options.push(["extra_body", extraBody]);
  const call = options.map(([name, value]) => `    ${name}=${pythonLiteral(value, "    ")},\n`).join("");
  return [
    ...(key ? ["import os", ""] : []),
    "from openai import OpenAI",
    "",
    `client = OpenAI(base_url="${baseUrl()}", api_key=${key ? 'os.environ["API_KEY"]' : '"none"'})`,
    `${stream ? "stream" : "completion"} = client.chat.completions.create(\n${call})`,
    ...(stream
      ? ["for chunk in stream:", "    if chunk.choices:", '        print(chunk.choices[0].delta.content or "", end="", flush=True)']
      : ["print(completion.choices[0].message.content)"]),
    "",
  ].join("\n");
}

function pythonLiteral(value, indent) {
  if (value === null) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (typeof value !== "object") return JSON.stringify(value);
  const inner = `${indent}    `;
  const isList = Array.isArray(value);
  const parts = Object.entries(value).map(([key, part]) => `${isList ? "" : `${JSON.stringify(key)}: `}${pythonLiteral(part, inner)}`);
  const [open, close] = isList ? "[]" : "{}";
  const line = `${open}${parts.join(", ")}${close}`;
  if (line.length <= 72 && !line.includes("\n")) return line;
  return `${open}\n${parts.map((part) => `${inner}${part},\n`).join("")}${indent}${close}`;
}

/** Return the base URL of the API, which is below the page, as a proxy may serve both below a path. */
const baseUrl = () => new URL("v1", document.baseURI).href;
