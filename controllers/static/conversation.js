// The conversation: its messages, and the request in progress.
import { Answer } from "./answer.js";
import { ApiError } from "./api.js";
import { byId, element } from "./dom.js";
import { models } from "./models.js";
import { follow, scrollToEnd } from "./scrolling.js";
import { checkSettings, key, requestBody, selectedApi, showKeyHint } from "./settings.js";

const [page, prompt, log] = ["page", "prompt", "log"].map(byId);
const conversation = []; // the messages so far
let running = null; // the AbortController of the request in progress

/** Return whether a request can be sent now; show the settings if they are why not. */
export const canSend = () => !running && checkSettings();

export const stop = () => running?.abort();

/** Add the user's message and send the conversation. */
export function ask(text) {
  conversation.push(...missingResults());
  addMessage({ role: "user", content: text }, text);
  send();
}

/** Return the messages of the request that a new message would send; without one, of the last request. */
export function messagesFor(text) {
  const added = text.trim() ? [{ role: "user", content: text }] : [];
  if (added.length) return [...conversation, ...missingResults(), ...added];
  const sent = conversation.slice(0, conversation.findLastIndex(({ role }) => role !== "assistant") + 1);
  return sent.length ? sent : [{ role: "user", content: "Hello!" }];
}

export function clear() {
  stop();
  conversation.length = 0;
  log.replaceChildren();
  byId("welcome").hidden = false;
  prompt.focus();
}

async function send() {
  const answer = new Answer(models.value, sendResults);
  log.append(answer.root);
  const controller = new AbortController();
  setRunning(controller);
  try {
    const body = requestBody(models.value, conversation);
    const options = { key: key.value, signal: controller.signal, footer: answer.stats.root };
    for await (const chunk of selectedApi().complete(body, options)) answer.add(chunk);
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

/** Send the results of an answer's tool calls; return whether they were sent. */
function sendResults(results) {
  if (!canSend()) return false;
  results.forEach((result) => addMessage(result, result.content));
  moveFocus();
  send();
  return true;
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
  follow();
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

new ResizeObserver(() => running && scrollToEnd()).observe(log);
