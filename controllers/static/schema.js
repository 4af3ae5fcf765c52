// The page at /schema: the OpenAPI document of this server, as it is at /schema/openapi.json.
import { readDocument } from "./completions.js";
import { byId, copyButton, element, errorBox, keepKey, keptKey } from "./dom.js";
import { inline } from "./markdown.js";

const METHODS = ["get", "post", "put", "patch", "delete", "head", "options"];
const page = byId("document");
let parts; // what the document's references lead to

async function load(key) {
  try {
    show(await readDocument(key), key);
  } catch (error) {
    page.replaceChildren(errorBox(error));
    if (error.status === 401) page.append(askForKey());
  }
}

function askForKey() {
  const field = element("input", { type: "password", autocomplete: "off", "aria-label": "API key", placeholder: "API key" });
  const form = element("form", { className: "ask" }, field, element("button", { className: "main" }, "Show"));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    keepKey(field.value);
    load(field.value);
  });
  return form;
}

function show(api, key) {
  const { info, paths, components, tags = [] } = api;
  parts = components?.schemas ?? {};
  // A link would send no key.
  const whole = key
    ? copyButton("Copy the OpenAPI document", () => JSON.stringify(api, null, 2))
    : element("a", { href: "/schema/openapi.json" }, "OpenAPI document");
  const groups = new Map(tags.map(({ name }) => [name, []]));
  const ordered = Object.entries(paths).sort(([a], [b]) => b.startsWith("/v1/") - a.startsWith("/v1/") || a.localeCompare(b));
  for (const [path, methods] of ordered)
    for (const method of METHODS.filter((name) => methods[name])) {
      const tag = methods[method].tags?.[0] ?? "other";
      groups.set(tag, [...(groups.get(tag) ?? []), operation(method, path, methods[method])]);
    }
  document.title = info.title;
  page.replaceChildren(
    element("h2", {}, info.title),
    ...said(info.description),
    element("p", {}, `Version ${info.version} · `, whole),
    ...[...groups].map(([name, operations]) => element("section", { className: "group" }, element("h3", {}, name), ...operations)),
  );
}

function operation(method, path, { summary, description, parameters = [], requestBody, responses }) {
  const head = [element("span", { className: "method" }, method), element("code", {}, path), element("span", {}, summary ?? "")];
  return folded("operation", head, () => [
    ...said(description),
    ...(parameters.length ? [element("h4", {}, "Parameters"), element("ul", { className: "fields" }, ...parameters.map(parameter))] : []),
    ...(requestBody ? [element("h4", {}, "Request"), ...contents(requestBody.content)] : []),
    element("h4", {}, "Responses"),
    ...Object.entries(responses ?? {}).map(([status, response]) =>
      folded("response", [element("code", {}, status), ...inline(response.description ?? "")], () => contents(response.content)),
    ),
  ]);
}

const parameter = ({ name, required, schema, in: place, description }) => field(name, { description, ...schema }, required, ` in ${place}`);

/** A description, which is Markdown by OpenAPI's word. */
const said = (text) => (text ? [element("p", {}, ...inline(text))] : []);

/** What is only made when it is unfolded. */
function folded(className, summary, make) {
  const details = element("details", { className }, element("summary", {}, ...summary));
  details.addEventListener("toggle", () => details.children.length > 1 || details.append(element("div", {}, ...make())));
  return details;
}

function contents(content = {}) {
  return Object.entries(content).flatMap(([type, { schema, examples }]) => [
    element("p", {}, element("code", {}, type)),
    ...(schema ? [element("ul", { className: "fields" }, ...fields(resolved(schema)))] : []),
    ...Object.entries(examples ?? {}).map(([name, { value }]) => example(name, value)),
  ]);
}

function example(name, value) {
  const text = typeof value === "string" ? value : JSON.stringify(value, null, 2);
  const caption = element("figcaption", {}, `Example: ${name}`, copyButton("Copy", () => text));
  return element("figure", { className: "example" }, caption, element("pre", { tabIndex: 0 }, text));
}

/** A schema itself, wherever it stands; of a choice that may be null, the other. */
function resolved(schema) {
  if (schema.$ref) return resolved(parts[schema.$ref.split("/").at(-1)] ?? {});
  const choices = choicesOf(schema).filter(({ type }) => type !== "null");
  return choices.length === 1 ? { ...schema, ...resolved(choices[0]), description: schema.description } : schema;
}

const choicesOf = (schema) => schema.anyOf ?? schema.oneOf ?? [];

/** The fields of an object, or the schema itself as one. */
function fields(schema) {
  const inner = insideOf(schema);
  if (!inner) return [field("", schema)];
  return Object.entries(inner.properties).map(([name, part]) => field(name, part, inner.required?.includes(name)));
}

/** The object that a schema is, or that its items are. */
function insideOf(schema) {
  const it = resolved(schema);
  if (it.properties) return it;
  return it.items ? insideOf(it.items) : null;
}

function field(name, schema, required = false, where = "") {
  const head = [
    ...(name ? [element("code", {}, name)] : []),
    element("span", { className: "type" }, typeOf(schema) + limitsOf(resolved(schema)) + where),
    ...(required ? [element("span", { className: "required" }, "required")] : []),
  ];
  const about = said(schema.description ?? resolved(schema).description);
  const inner = insideOf(schema);
  if (!inner) return element("li", {}, ...head, ...about);
  return element("li", {}, folded("", head, () => [...about, element("ul", { className: "fields" }, ...fields(inner))]));
}

function typeOf(schema) {
  const it = resolved(schema);
  if (it.enum) return it.enum.map((value) => JSON.stringify(value)).join(" | ");
  if ("const" in it) return JSON.stringify(it.const);
  if (it.items) return `array of ${typeOf(it.items)}`;
  const choices = choicesOf(it).filter(({ type }) => type !== "null");
  if (choices.length > 1) return [...new Set(choices.map(typeOf))].join(" | ");
  return [it.type ?? "any"].flat().filter((type) => type !== "null").join(" | ");
}

function limitsOf({ minimum, maximum, minItems, maxItems, minLength, maxLength, default: preset }) {
  const range = (low, high, of) => (low ?? high) === undefined ? "" : `, ${[low === undefined ? "" : `≥ ${low}`, high === undefined ? "" : `≤ ${high}`].filter(Boolean).join(", ")}${of}`;
  const given = preset === undefined || preset === null ? "" : `, ${JSON.stringify(preset)} by default`;
  return range(minimum, maximum, "") + range(minItems, maxItems, " items") + range(minLength, maxLength, " characters") + given;
}

load(keptKey());
