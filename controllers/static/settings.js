// The settings beside the conversation: the parameters of a request, and the API key.
import { CHAT } from "./api.js";
import { byId } from "./dom.js";
import { RESPONSES } from "./responses.js"; // pack: responses
import { load, store } from "./storage.js";

const APIS = { chat: CHAT };
APIS.responses = RESPONSES; // pack: responses

const TOOL = {
  type: "function",
  function: {
    name: "get_weather",
    description: "The weather in a city.",
    parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
  },
};

export const [key, extra] = ["key", "extra"].map(byId);

/** Return the API that requests are sent by. */
export const selectedApi = () => APIS[document.querySelector("[name=api]:checked")?.value ?? "chat"];

export function requestBody(model, messages) {
  const [system, temperature, limit] = ["system", "temperature", "limit"].map((id) => byId(id).value.trim());
  return selectedApi().toBody({
    model,
    messages: [...(system ? [{ role: "system", content: system }] : []), ...messages],
    ...(byId("stream").checked ? { stream: true, stream_options: { include_usage: true } } : {}),
    ...(temperature ? { temperature: Number(temperature) } : {}),
    ...(limit ? { max_tokens: Number(limit) } : {}),
    ...extraJson(),
  });
}

/** Parse the extra JSON; throw a SyntaxError for the user if it is not an object. */
export function extraJson() {
  if (!extra.value.trim()) return {};
  try {
    const value = JSON.parse(extra.value);
    if (value !== null && typeof value === "object" && !Array.isArray(value)) return value;
  } catch {
    // thrown below
  }
  throw new SyntaxError('Extra JSON must be a JSON object, such as {"top_p": 0.9}.');
}

/** Return whether the settings are valid; show the one that is not. */
export function checkSettings() {
  if (checkExtra()) return true;
  showSettings(extra);
  return false;
}

/** Show whether the extra JSON is valid, and return it. */
function checkExtra() {
  let problem = "";
  try {
    extraJson();
  } catch (error) {
    problem = error.message;
  }
  byId("extra-problem").textContent = problem;
  extra.setAttribute("aria-invalid", problem !== "");
  return !problem;
}

/** Return an error to show. If the API key is why, it is in the page's own words, and the key's field says so too. */
export function explained(error) {
  if (error.status !== 401) return error;
  const isOfServer = error.code || error.requestId; // or the key cannot even be sent
  if (!key.value) Object.assign(error, { message: "This server wants an API key. Enter it under Settings.", isWanted: true });
  else if (isOfServer) error.message = "The server did not accept this API key. Check it under Settings.";
  showKeyHint(error.message.replace(/ [^.]* under Settings\.$/, ""), true);
  return error;
}

/** Show a hint at the key's field: on a phone, the settings cover the page. */
export function showKeyHint(text, isError = false) {
  byId("key-hint").textContent = text;
  key.setAttribute("aria-invalid", isError);
}

/** Open or close the settings, which a wide window always shows. */
export function toggleSettings(open) {
  const isOpen = document.body.classList.toggle("settings-open", open);
  byId("settings-toggle").setAttribute("aria-expanded", isOpen);
}

export function showSettings(field) {
  toggleSettings(true);
  field.focus();
}

byId("settings-toggle").addEventListener("click", () => toggleSettings());

extra.addEventListener("input", checkExtra);
byId("tool").addEventListener("click", () => {
  if (!checkExtra()) return;
  extra.value = JSON.stringify({ ...extraJson(), tools: [TOOL] }, null, 2);
  storeFields();
});

// What the tab keeps over a reload

const fields = [...byId("settings").querySelectorAll(":is(input, select, textarea):not(#key)")];
const nameOf = (field) => field.id || `${field.name} ${field.value}`; // a radio button has no id
const valueOf = (field) => (["checkbox", "radio"].includes(field.type) ? "checked" : "value");

function storeFields() {
  store("settings", Object.fromEntries(fields.map((field) => [nameOf(field), field[valueOf(field)]])));
}

const stored = load("settings") ?? {};
for (const field of fields) field[valueOf(field)] = stored[nameOf(field)] ?? field[valueOf(field)];
byId("settings").addEventListener("input", storeFields);

key.value = load("key") ?? "";
key.addEventListener("input", () => store("key", key.value));
