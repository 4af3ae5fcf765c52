// A request as code. The key is never in it: it stands for itself as the environment variable API_KEY.

/** A command for a shell. */
export function curl(body, key) {
  const lines = [
    `curl ${body.stream ? "--no-buffer " : ""}${location.origin}/v1/chat/completions`,
    "-H 'content-type: application/json'",
    ...(key ? ['-H "authorization: Bearer $API_KEY"'] : []),
    `-d '${JSON.stringify(body, null, 2).replaceAll("'", "'\\''")}'`,
  ];
  return lines.join(" \\\n  ");
}

/** A program that uses OpenAI's package; what that does not know goes by its `extra_body`. */
export function python(body, extra, key) {
  const { model, messages, stream, ...rest } = body;
  const known = Object.entries(rest).filter(([name]) => !(name in extra));
  const added = Object.fromEntries(Object.entries(rest).filter(([name]) => name in extra));
  const options = Object.entries({ model, messages, ...Object.fromEntries(known), ...(stream ? { stream } : {}) });
  if (Object.keys(added).length) options.push(["extra_body", added]);
  const call = options.map(([name, value]) => `    ${name}=${literal(value, "    ")},\n`).join("");
  return [
    ...(key ? ["import os", ""] : []),
    "from openai import OpenAI",
    "",
    `client = OpenAI(base_url="${location.origin}/v1", api_key=${key ? 'os.environ["API_KEY"]' : '"none"'})`,
    `${stream ? "stream" : "completion"} = client.chat.completions.create(\n${call})`,
    ...(stream
      ? ["for chunk in stream:", "    if chunk.choices:", '        print(chunk.choices[0].delta.content or "", end="", flush=True)']
      : ["print(completion.choices[0].message.content)"]),
    "",
  ].join("\n");
}

/** JSON as Python writes it. */
function literal(value, indent) {
  if (value === null) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (typeof value !== "object") return JSON.stringify(value);
  const inner = `${indent}    `;
  const isList = Array.isArray(value);
  const parts = Object.entries(value).map(([key, part]) => `${isList ? "" : `${JSON.stringify(key)}: `}${literal(part, inner)}`);
  const [open, close] = isList ? "[]" : "{}";
  const line = `${open}${parts.join(", ")}${close}`;
  if (line.length <= 72 && !line.includes("\n")) return line;
  return `${open}\n${parts.map((part) => `${inner}${part},\n`).join("")}${indent}${close}`;
}
