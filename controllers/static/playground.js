// The page at /: a chat with the server's models.
import "./code.js";
import { ask, canSend, clear, stop } from "./conversation.js";
import { byId, isSubmitKey } from "./dom.js";
import { loadModels, models } from "./models.js";
import { key, showSettings, toggleSettings } from "./settings.js";

const [composer, prompt] = ["composer", "prompt"].map(byId);

composer.addEventListener("submit", (event) => {
  event.preventDefault();
  const text = prompt.value;
  if (!models.value) return loadModels();
  if (!text.trim() || !canSend()) return;
  prompt.value = "";
  toggleSettings(false);
  ask(text);
});

prompt.addEventListener("keydown", (event) => {
  if (!isSubmitKey(event)) return;
  event.preventDefault();
  composer.requestSubmit();
});

addEventListener("keydown", (event) => event.key === "Escape" && !byId("code").open && stop());
byId("stop").addEventListener("click", stop);
byId("new").addEventListener("click", clear);

await loadModels();
if (key.getAttribute("aria-invalid") === "true" && !prompt.value) showSettings(key); // unless the user is already typing
