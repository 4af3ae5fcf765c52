// The page at /: a chat with the server's models.
import { clearAttachments, contentWith, whenRead } from "./attachments.js";
import { ask, canSend, clear, restore, stop } from "./conversation.js";
import "./dialog.js";
import { byId, isSubmitKey } from "./dom.js";
import { loadModels, models } from "./models.js";
import { key, showSettings, toggleSettings } from "./settings.js";
import { load, store } from "./storage.js";

const [composer, prompt] = ["composer", "prompt"].map(byId);

function setPrompt(text) {
  prompt.value = text;
  store("draft", text);
}

composer.addEventListener("submit", async (event) => {
  event.preventDefault();
  await whenRead();
  const content = contentWith(prompt.value);
  if (!models.value) return loadModels();
  if (!content.length || !canSend()) return;
  setPrompt("");
  clearAttachments();
  toggleSettings(false);
  ask(content);
});

prompt.addEventListener("input", () => store("draft", prompt.value));
prompt.addEventListener("keydown", (event) => {
  if (!isSubmitKey(event)) return;
  event.preventDefault();
  composer.requestSubmit();
});

addEventListener("keydown", (event) => event.key === "Escape" && !byId("code").open && stop());
byId("stop").addEventListener("click", stop);
byId("new").addEventListener("click", clear);

setPrompt(prompt.value || (load("draft") ?? ""));
restore();
await loadModels();
if (key.getAttribute("aria-invalid") === "true" && !prompt.value) showSettings(key); // unless the user is already typing
