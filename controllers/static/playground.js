// The page at /: a conversation with a model of this server.
import { Answer } from "./answer.js";
import { complete, listModels } from "./completions.js";
import { byId, copy, element } from "./dom.js";
import { curl, python } from "./snippets.js";

const TOOL = {
  type: "function",
  function: {
    name: "get_weather",
    description: "The weather in a city.",
    parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
  },
};

const [composer, prompt, models, log, key, extra] = ["composer", "prompt", "models", "log", "key", "extra"].map(byId);
const conversation = []; // the messages so far
let running = null; // what stops the answer that is under way

// The models

async function loadModels() {
  byId("notice").replaceChildren();
  try {
    const chosen = models.value;
    const listed = await listModels(key.value);
    models.replaceChildren(...listed.map(({ id }) => element("option", { value: id }, id)));
    if (listed.some(({ id }) => id === chosen)) models.value = chosen;
    byId("offer").replaceChildren(...listed.map(offered));
  } catch (error) {
    const facts = error.requestId ? [element("small", {}, `request ${error.requestId}`)] : [];
    byId("notice").replaceChildren(element("div", { className: "error", role: "alert" }, element("p", {}, error.message), ...facts));
    if (error.status === 401) showSettings(key);
  }
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

// The conversation

async function ask() {
  if (!checkExtra()) return showSettings(extra);
  const answer = new Answer(models.value, (results) => {
    results.forEach((result) => say(result, result.content));
    ask();
  });
  log.append(answer.root);
  running = new AbortController();
  setRunning(true);
  try {
    for await (const frame of complete(requestBody(conversation), { key: key.value, signal: running.signal })) {
      answer.take(frame);
      follow();
    }
  } catch (error) {
    if (running.signal.aborted) answer.note("Stopped.");
    else answer.fail(error);
    if (error.status === 401) showSettings(key);
  }
  if (answer.message && answer.root.isConnected) conversation.push(answer.message); // else a new chat has begun
  const retry = element("button", { type: "button", className: "quiet retry", textContent: "Retry" });
  retry.addEventListener("click", () => again(answer));
  const stopped = running.signal.aborted;
  answer.finish([retry]);
  if (!stopped) answer.askForResults();
  setRunning(false);
  follow();
}

/** Ask for another answer in the place of the last. */
function again(answer) {
  if (running) return;
  if (conversation.at(-1)?.role === "assistant") conversation.pop();
  answer.root.remove();
  ask();
}

function say(message, text) {
  conversation.push(message);
  byId("welcome").hidden = true;
  const said = element("article", { className: `said ${message.role}`, "aria-label": message.role === "tool" ? "Result of a tool" : "You" }, text);
  log.append(said);
  said.scrollIntoView({ block: "end" });
}

function setRunning(is) {
  if (!is) running = null;
  byId("send").hidden = is;
  byId("stop").hidden = !is;
  byId("status").textContent = is ? "Answering …" : "The answer has ended.";
}

/** Keep the end in view for a reader who is there. */
function follow() {
  const page = byId("page");
  if (page.scrollHeight - page.scrollTop - page.clientHeight < 160) page.scrollTop = page.scrollHeight;
}

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
  if (running || !text.trim() || !models.value) return;
  if (!checkExtra()) return showSettings(extra);
  prompt.value = "";
  toggleSettings(false);
  say({ role: "user", content: text }, text);
  ask();
});

prompt.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
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

key.value = sessionStorage.getItem("key") ?? "";
key.addEventListener("input", () => sessionStorage.setItem("key", key.value));
key.addEventListener("change", loadModels);

for (const language of ["curl", "python"]) {
  byId(language).addEventListener("click", async () => {
    if (!checkExtra()) return showSettings(extra);
    const text = prompt.value.trim() ? [{ role: "user", content: prompt.value }] : [];
    const asked = conversation.slice(0, conversation.findLastIndex(({ role }) => role !== "assistant") + 1);
    const body = requestBody(text.length ? [...conversation, ...text] : asked.length ? asked : [{ role: "user", content: "Hello!" }]);
    const code = language === "curl" ? curl(body, key.value) : python(body, extraJson(), key.value);
    byId("snippet").textContent = code;
    byId("code").showModal();
    byId("copied").textContent = (await copy(code)) ? "Copied." : "Select and copy it.";
  });
}

loadModels();
