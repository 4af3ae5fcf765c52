// The page at /: a conversation with a model of this server.
import { Answer } from "./answer.js";
import { ApiError, complete, listModels } from "./completions.js";
import { byId, copy, element, errorBox, keepKey, keptKey, sends } from "./dom.js";
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
let running = null; // what stops the answer that is under way

// The models

async function loadModels() {
  byId("notice").replaceChildren();
  sayOfKey("Kept for this tab alone.");
  try {
    const chosen = models.value;
    const listed = await listModels(key.value);
    models.replaceChildren(...listed.map(({ id }) => element("option", { value: id }, id)));
    if (listed.some(({ id }) => id === chosen)) models.value = chosen;
    byId("offer").replaceChildren(...listed.map(offered));
    if (!listed.length) byId("notice").append(element("p", {}, "This server has no models."));
    if (key.value) sayOfKey(`Models that it opens: ${listed.length}. Kept for this tab alone.`);
  } catch (error) {
    byId("notice").replaceChildren(errorBox(error));
    if (error.status === 401) sayOfKey(error.message, true);
  }
}

/** Say by the field of the key what is to say of it: on a phone, the settings cover the rest. */
function sayOfKey(text, isWrong = false) {
  byId("key-hint").textContent = text;
  key.setAttribute("aria-invalid", isWrong);
}

function offered({ id, owned_by: owner }) {
  const button = element("button", { type: "button" }, element("strong", {}, id), element("span", {}, owner));
  button.addEventListener("click", () => {
    models.value = id;
    prompt.focus();
  });
  return element("li", {}, button);
}

// The request

/** What is added to the request by hand; throws a sentence if it is no JSON object. */
function extraJson() {
  if (!extra.value.trim()) return {};
  try {
    const value = JSON.parse(extra.value);
    if (value !== null && typeof value === "object" && !Array.isArray(value)) return value;
  } catch {
    // said below
  }
  throw new SyntaxError('The extra JSON is no object, as {"top_p": 0.9} is.');
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

/** Say that the extra JSON is wrong, where it stands; whether it is right. */
function checkExtra() {
  const problem = byId("extra-problem");
  problem.textContent = "";
  try {
    extraJson();
  } catch (error) {
    problem.textContent = error.message;
  }
  extra.setAttribute("aria-invalid", problem.textContent !== "");
  return problem.textContent === "";
}

/** Whether a request may be sent now; if the extra JSON is why not, it is shown. */
function isReady() {
  if (running) return false;
  if (checkExtra()) return true;
  showSettings(extra);
  return false;
}

// The conversation

async function ask() {
  const answer = new Answer(models.value, (results) => {
    if (!isReady()) return false;
    results.forEach((result) => say(result, result.content));
    focusNext();
    ask();
    return true;
  });
  log.append(answer.root);
  const run = new AbortController();
  setRunning(run);
  try {
    for await (const frame of complete(requestBody(conversation), { key: key.value, signal: run.signal })) answer.take(frame);
    answer.complete();
  } catch (error) {
    const said = error instanceof ApiError ? error : new ApiError("The server answered, and not as this API does.");
    answer.cut(run.signal.aborted ? null : said);
    if (error.status === 401) sayOfKey(error.message, true);
  }
  if (answer.message && answer.root.isConnected) conversation.push(answer.message); // else a new chat has begun
  const retry = element("button", { type: "button", className: "quiet retry", textContent: "Retry" });
  retry.addEventListener("click", () => again(answer));
  answer.finish([retry]);
  setRunning(null);
  follow();
}

/** What the API must be told of calls that are left without a result. */
const notRun = () => (conversation.at(-1)?.tool_calls ?? []).map(({ id }) => ({ role: "tool", tool_call_id: id, content: "Not run." }));

/** Ask for another answer in the place of the last. */
function again(answer) {
  if (!isReady()) return;
  if (conversation.at(-1)?.role === "assistant") conversation.pop();
  answer.root.remove();
  focusNext();
  ask();
}

function say(message, text) {
  conversation.push(message);
  byId("welcome").hidden = true;
  log.append(element("article", { className: `said ${message.role}`, "aria-label": message.role === "tool" ? "Result of a tool" : "You" }, text));
  following = true;
  follow();
}

/** An answer is under way, or none is any more. */
function setRunning(run) {
  running = run;
  const [shown, gone] = run ? ["stop", "send"] : ["send", "stop"];
  if (document.activeElement === byId(gone)) focusNext();
  byId(shown).hidden = false;
  byId(gone).hidden = true;
  byId("status").textContent = run ? "Answering …" : "The answer has ended.";
}

/** Move the focus from what goes away: to the prompt, or where that would bring up the keyboard of a phone, to the conversation. */
function focusNext() {
  (matchMedia("(hover: none)").matches ? page : prompt).focus();
}

// The end of the conversation stays in view as it grows, until the reader scrolls up, and from when they are back.

let following = true;
let lastTop = 0; // where the page was scrolled to

function follow() {
  if (following) page.scrollTop = page.scrollHeight;
  lastTop = page.scrollTop;
}

page.addEventListener("scroll", () => {
  const left = page.scrollHeight - page.scrollTop - page.clientHeight;
  const isUp = page.scrollTop < lastTop;
  following = left < (isUp ? 1 : 40) || (following && !isUp);
  lastTop = page.scrollTop;
});

new ResizeObserver(() => running && follow()).observe(log);

// The page

/** Open the settings or close them, where the window is too small for them to stay. */
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
  if (!text.trim() || !isReady()) return;
  prompt.value = "";
  toggleSettings(false);
  conversation.push(...notRun());
  say({ role: "user", content: text }, text);
  ask();
});

prompt.addEventListener("keydown", (event) => {
  if (!sends(event)) return;
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

key.value = keptKey();
key.addEventListener("input", () => keepKey(key.value));
key.addEventListener("change", loadModels);

for (const language of ["curl", "python"]) {
  byId(language).addEventListener("click", async () => {
    if (!checkExtra()) return showSettings(extra);
    const text = prompt.value.trim() ? [{ role: "user", content: prompt.value }] : [];
    const asked = conversation.slice(0, conversation.findLastIndex(({ role }) => role !== "assistant") + 1);
    const body = requestBody(text.length ? [...conversation, ...notRun(), ...text] : asked.length ? asked : [{ role: "user", content: "Hello!" }]);
    const code = language === "curl" ? curl(body, key.value) : python(body, extraJson(), key.value);
    byId("snippet").textContent = code;
    byId("code").showModal();
    byId("copied").textContent = (await copy(code)) ? "Copied." : "Select and copy it.";
  });
}

await loadModels();
if (key.getAttribute("aria-invalid") === "true" && !prompt.value) showSettings(key); // later, this would take the focus from who types
