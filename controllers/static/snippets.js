// A request as code. The API key is not in it, but read from the environment variable API_KEY.

const LONGEST_ARGUMENT = 100_000; // characters; Linux takes 128 KiB

export function curl(api, body, key) {
  const json = JSON.stringify(body, null, 2);
  const lines = [
    `curl ${body.stream ? "--no-buffer " : ""}${baseUrl()}/${api.path}`,
    "-H 'content-type: application/json'",
    ...(key ? ['-H "authorization: Bearer $API_KEY"'] : []),
    json.length < LONGEST_ARGUMENT ? `-d '${json.replaceAll("'", "'\\''")}'` : `-d @- <<'END'\n${json}\nEND`,
  ];
  return lines.join(" \\\n  ");
}

/** Return a program that uses OpenAI's client, which takes unknown parameters in `extra_body` only. */
export function python({ python: api }, body, extra, key) {
  const { stream, ...rest } = body;
  const isExtra = ([name]) => name in extra && !api.required.includes(name);
  const options = Object.entries(rest).filter((option) => !isExtra(option));
  const extraBody = Object.fromEntries(Object.entries(rest).filter(isExtra));
  if (stream) options.push(["stream", stream]);
  if (Object.keys(extraBody).length) options.push(["extra_body", extraBody]);
  const call = options.map(([name, value]) => `    ${name}=${pythonLiteral(value, "    ")},\n`).join("");
  return [
    ...(key ? ["import os", ""] : []),
    "from openai import OpenAI",
    "",
    `client = OpenAI(base_url="${baseUrl()}", api_key=${key ? 'os.environ["API_KEY"]' : '"none"'})`,
    `${stream ? "stream" : "result"} = ${api.create}(\n${call})`,
    ...(stream ? api.streamed : api.whole),
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
