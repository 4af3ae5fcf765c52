// The page at /: a chat with the server's models.
import { Answer } from "./answer.js";
import { ApiError, complete, fetchDocument, listModels } from "./api.js";
import { byId, copy, copyButton, element, errorBox, isSubmitKey, loadKey, storeKey } from "./dom.js";
import { curl, python } from "./snippets.js";

const TOOL = {
  type: "function",
  function: {
    name: "get_weather",
    description: "The weather in a city.",
    parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
  },
};

const [page, composer, prompt, models, log, key, extra] = ["page", "composer", "prompt", "models", "log", "key", "extra"].map(byId);
const conversation = []; // the messages so far
let running = null; // the AbortController of the request in progress

// Models

async function loadModels() {
  byId("notice").replaceChildren();
  showKeyHint("Stored for this tab only.");
  try {
    const selected = models.value;
    const listed = await listModels(key.value);
    models.replaceChildren(...listed.map(({ id }) => element("option", { value: id }, id)));
    if (listed.some(({ id }) => id === selected)) models.value = selected;
    byId("model-list").replaceChildren(...listed.map(modelCard));
    if (!listed.length) byId("notice").append(element("p", {}, "This server has no models."));
    if (key.value) showKeyHint(`Models available: ${listed.length}. Stored for this tab only.`);
    byId("openapi").hidden = false;
  } catch (error) {
    showError(error);
  }
}

function showError(error) {
  byId("notice").replaceChildren(errorBox(error));
  byId("notice").scrollIntoView({ block: "nearest" });
  if (error.status !== 401) return;
  showKeyHint(error.message, true);
  byId("openapi").hidden = true;
}

/** Show a hint at the key's field: on a phone, the settings cover the page. */
function showKeyHint(text, isError = false) {
  byId("key-hint").textContent = text;
  key.setAttribute("aria-invalid", isError);
}

function modelCard({ id, owned_by: owner }) {
  const button = element("button", { type: "button" }, element("strong", {}, id), element("span", {}, owner));
  button.addEventListener("click", () => {
    models.value = id;
    prompt.focus();
  });
  return element("li", {}, button);
}

// The request

/** Parse the extra JSON; throw a SyntaxError for the user if it is not an object. */
function extraJson() {
  if (!extra.value.trim()) return {};
  try {
    const value = JSON.parse(extra.value);
    if (value !== null && typeof value === "object" && !Array.isArray(value)) return value;
  } catch {
    // thrown below
  }
  throw new SyntaxError('Extra JSON must be a JSON object, such as {"top_p": 0.9}.');
}

function requestBody(messages) {
  const [system, temperature, limit] = ["system", "temperature", "limit"].map((id) => byId(id).value.trim());
  return {
    model: models.value,
    messages: [...(system ? [{ role: "system", content: system }] : []), ...messages],
    ...(byId("stream").checked ? { stream: true, stream_options: { include_usage: true } } : {}),
    ...(temperature ? { temperature: Number(temperature) } : {}),
    ...(limit ? { max_tokens: Number(limit) } : {}),
    ...extraJson(),
  };
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

/** Return whether a request can be sent now; show the extra JSON if that is why not. */
function canSend() {
  if (running) return false;
  if (checkExtra()) return true;
  showSettings(extra);
  return false;
}

// The conversation

async function send() {
  const answer = new Answer(models.value, (results) => {
    if (!canSend()) return false;
    results.forEach((result) => addMessage(result, result.content));
    moveFocus();
    send();
    return true;
  });
  log.append(answer.root);
  const controller = new AbortController();
  setRunning(controller);
  try {
    for await (const chunk of complete(requestBody(conversation), { key: key.value, signal: controller.signal })) answer.add(chunk);
    answer.complete();
  } catch (error) {
    const shown = error instanceof ApiError ? error : new ApiError("Unexpected response from the server.");
    answer.interrupt(controller.signal.aborted ? null : shown);
    if (error.status === 401) showKeyHint(error.message, true);
  }
  if (answer.message && answer.root.isConnected) conversation.push(answer.message); // not connected: a new chat has begun
  const button = element("button", { type: "button", className: "quiet retry", textContent: "Retry" });
  button.addEventListener("click", () => retry(answer));
  answer.finish([button]);
  setRunning(null);
  scrollToEnd();
}

/** Return results for tool calls left open: the API requires one for each. */
const missingResults = () => (conversation.at(-1)?.tool_calls ?? []).map(({ id }) => ({ role: "tool", tool_call_id: id, content: "Not run." }));

function retry(answer) {
  if (!canSend()) return;
  if (conversation.at(-1)?.role === "assistant") conversation.pop();
  answer.root.remove();
  moveFocus();
  send();
}

function addMessage(message, text) {
  conversation.push(message);
  byId("welcome").hidden = true;
  log.append(element("article", { className: `message ${message.role}`, "aria-label": message.role === "tool" ? "Tool result" : "You" }, text));
  isFollowing = true;
  scrollToEnd();
}

/** Show Send or Stop, and announce the state to screen readers. */
function setRunning(controller) {
  running = controller;
  const [shown, hidden] = running ? ["stop", "send"] : ["send", "stop"];
  if (document.activeElement === byId(hidden)) moveFocus();
  byId(shown).hidden = false;
  byId(hidden).hidden = true;
  byId("status").textContent = running ? "Generating …" : "Response finished.";
}

/** Move the focus off an element that goes away: to the prompt, or on a phone, where that opens the keyboard, to the page. */
function moveFocus() {
  (matchMedia("(hover: none)").matches ? page : prompt).focus();
}

// Scrolling: the end of the conversation stays in view until the user scrolls up

let isFollowing = true;
let lastTop = 0; // the previous scroll position

function scrollToEnd() {
  if (isFollowing) page.scrollTop = page.scrollHeight;
  lastTop = page.scrollTop;
}

page.addEventListener("scroll", () => {
  const remaining = page.scrollHeight - page.scrollTop - page.clientHeight;
  const isUp = page.scrollTop < lastTop;
  isFollowing = remaining < (isUp ? 1 : 40) || (isFollowing && !isUp);
  lastTop = page.scrollTop;
});

new ResizeObserver(() => running && scrollToEnd()).observe(log);

// The controls

/** Open or close the settings, which a wide window always shows. */
function toggleSettings(open) {
  const isOpen = document.body.classList.toggle("settings-open", open);
  byId("settings-toggle").setAttribute("aria-expanded", isOpen);
}

function showSettings(field) {
  toggleSettings(true);
  field.focus();
}

composer.addEventListener("submit", (event) => {
  event.preventDefault();
  const text = prompt.value;
  if (!models.value) return loadModels();
  if (!text.trim() || !canSend()) return;
  prompt.value = "";
  toggleSettings(false);
  conversation.push(...missingResults());
  addMessage({ role: "user", content: text }, text);
  send();
});

prompt.addEventListener("keydown", (event) => {
  if (!isSubmitKey(event)) return;
  event.preventDefault();
  composer.requestSubmit();
});

addEventListener("keydown", (event) => event.key === "Escape" && !byId("code").open && running?.abort());
byId("stop").addEventListener("click", () => running?.abort());

byId("new").addEventListener("click", () => {
  running?.abort();
  conversation.length = 0;
  log.replaceChildren();
  byId("welcome").hidden = false;
  prompt.focus();
});

byId("settings-toggle").addEventListener("click", () => toggleSettings());

extra.addEventListener("input", checkExtra);
byId("tool").addEventListener("click", () => {
  if (!checkExtra()) return;
  extra.value = JSON.stringify({ ...extraJson(), tools: [TOOL] }, null, 2);
});

key.value = loadKey();
key.addEventListener("input", () => storeKey(key.value));
key.addEventListener("change", loadModels);

function showCode(label, code) {
  byId("code").setAttribute("aria-label", label);
  byId("snippet").textContent = code;
  byId("code").showModal();
}

for (const language of ["curl", "python"]) {
  byId(language).addEventListener("click", async () => {
    if (!checkExtra()) return showSettings(extra);
    const text = prompt.value.trim() ? [{ role: "user", content: prompt.value }] : [];
    const sent = conversation.slice(0, conversation.findLastIndex(({ role }) => role !== "assistant") + 1);
    const body = requestBody(text.length ? [...conversation, ...missingResults(), ...text] : sent.length ? sent : [{ role: "user", content: "Hello!" }]);
    const code = language === "curl" ? curl(body, key.value) : python(body, extraJson(), key.value);
    showCode("Request as code", code);
    byId("copied").textContent = (await copy(code)) ? "Copied." : "Select the text to copy it.";
  });
}

byId("openapi").addEventListener("click", async (event) => {
  if (!key.value) return; // the link works
  event.preventDefault(); // a link cannot send the key
  try {
    const json = JSON.stringify(await fetchDocument(key.value), null, 2);
    showCode("OpenAPI document", json);
    byId("copied").replaceChildren(copyButton("Copy", () => json));
  } catch (error) {
    showError(error);
  }
});

await loadModels();
if (key.getAttribute("aria-invalid") === "true" && !prompt.value) showSettings(key); // unless the user is already typing
