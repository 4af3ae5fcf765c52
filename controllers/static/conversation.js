// The conversation: its turns, and the request in progress.
import { Answer, RELOAD } from "./answer.js";
import { ApiError } from "./api.js";
import { byId, moveFocus } from "./dom.js";
import { loadTurns, storeTurns } from "./history.js";
import { Message } from "./message.js";
import { againButton, models } from "./models.js";
import { follow, scrollToEnd, scrollToTop } from "./scrolling.js";
import { checkSettings, explained, key, requestBody, selectedApi, showSettings } from "./settings.js";

const log = byId("log");
const turns = []; // each a Message or an Answer
let running = null; // the AbortController of the request in progress

/** Return whether a request can be sent now; show the settings if they are why not. */
export const canSend = () => !running && checkSettings();

export const stop = (reason) => running?.abort(reason);

/** Add the user's message and send the conversation. */
export function ask(content) {
  addMessage({ role: "user", content });
  send();
}

/** Return the messages of the request that a new message would send; without content, of the last request. */
export function messagesFor(content) {
  if (content.length) return [...messages(), { role: "user", content }];
  const sent = turns.slice(0, turns.findLastIndex((turn) => turn instanceof Message) + 1);
  return sent.length ? messages(sent) : [{ role: "user", content: "Hello!" }];
}

export function clear() {
  stop();
  empty();
  save();
  scrollToTop();
  byId("prompt").focus();
}

/** Show the stored conversation. */
export function restore() {
  try {
    for (const { message, answer } of loadTurns()) show(answer ? Answer.restore(answer, sendResults) : new Message(message, resend));
  } catch {
    empty(); // what is stored is none of this page's
  }
  turns.filter((turn) => turn instanceof Answer).forEach(finish);
  follow();
}

function save() {
  storeTurns(turns.map((turn) => turn.save()));
}

/** Return the messages of turns. A tool call left open gets a result, which the API requires. */
function messages(of = turns) {
  return of.flatMap(({ message }, index) => {
    const isOpen = of[index + 1]?.message?.role !== "tool";
    const missing = isOpen ? (message?.tool_calls ?? []) : [];
    return message ? [message, ...missing.map(({ id }) => ({ role: "tool", tool_call_id: id, content: "Not run." }))] : [];
  });
}

async function send() {
  let needsKey = false;
  const body = requestBody(models.value, messages());
  const answer = show(new Answer(models.value, sendResults));
  const controller = new AbortController();
  setRunning(controller);
  try {
    const options = { key: key.value, signal: controller.signal, footer: answer.stats.root };
    for await (const chunk of selectedApi().complete(body, options)) answer.add(chunk);
    answer.complete();
  } catch (error) {
    const shown = error instanceof ApiError ? explained(error) : new ApiError("Unexpected response from the server.");
    answer.interrupt(controller.signal.aborted ? null : shown, controller.signal.reason === RELOAD ? RELOAD : undefined);
    needsKey = shown.status === 401 && !byId("prompt").value; // unless the user is already typing
  }
  finish(answer);
  save();
  setRunning(null);
  if (needsKey) showSettings(key);
  scrollToEnd();
}

function finish(answer) {
  const button = againButton(["Retry", "with"], answer.model, { type: "button", className: "quiet retry" });
  button.addEventListener("click", () => retry(answer));
  answer.finish([button]);
}

/** Send the results of an answer's tool calls; return whether they were sent. */
function sendResults(results) {
  if (!canSend()) return false;
  results.forEach(addMessage);
  moveFocus();
  send();
  return true;
}

/** Send a conversation again from an answer on, which goes with what follows it. */
function retry(answer) {
  if (!canSend()) return;
  removeFrom(answer);
  moveFocus();
  follow();
  send();
}

/** Send a message with other content in place of a message and what follows it. */
function resend(message, content) {
  if (!canSend()) return;
  removeFrom(message);
  moveFocus();
  ask(content);
}

function empty() {
  if (turns.length) removeFrom(turns[0]);
  byId("welcome").hidden = false;
}

function removeFrom(turn) {
  turns.splice(turns.indexOf(turn)).forEach(({ root }) => root.remove());
}

function addMessage(message) {
  show(new Message(message, resend));
  save();
  follow();
}

function show(turn) {
  if (turn.message?.role === "tool") turns.findLast((earlier) => earlier instanceof Answer).addResult(turn.message);
  else log.append(turn.root);
  turns.push(turn);
  byId("welcome").hidden = true;
  return turn;
}

/** Show Send or Stop, and announce the state to screen readers. */
function setRunning(controller) {
  running = controller;
  const [shown, hidden] = running ? ["stop", "send"] : ["send", "stop"];
  if (document.activeElement === byId(hidden)) moveFocus();
  byId(shown).hidden = false;
  byId(hidden).hidden = true;
  document.body.classList.toggle("running", running !== null);
  byId("status").textContent = running ? "Generating …" : "Response finished.";
}

addEventListener("pagehide", () => {
  if (running) save(); // before it is stopped, which takes longer than the page lives
  stop(RELOAD); // or the connection would be lost, which is an error
});
document.addEventListener("visibilitychange", () => running && save()); // a phone ends pages in the background without a word
new ResizeObserver(() => running && scrollToEnd()).observe(log);
