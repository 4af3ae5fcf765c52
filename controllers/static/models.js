// The server's models: the list to choose from, and the errors of the page that no answer shows.
import { listModels } from "./api.js";
import { byId, element, errorBox } from "./dom.js";
import { key, showKeyHint } from "./settings.js";

export const models = byId("models");

export async function loadModels() {
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

export function showError(error) {
  byId("notice").replaceChildren(errorBox(error));
  byId("notice").scrollIntoView({ block: "nearest" });
  if (error.status !== 401) return;
  showKeyHint(error.message, true);
  byId("openapi").hidden = true;
}

function modelCard({ id, owned_by: owner }) {
  const button = element("button", { type: "button" }, element("strong", {}, id), element("span", {}, owner));
  button.addEventListener("click", () => {
    models.value = id;
    byId("prompt").focus();
  });
  return element("li", {}, button);
}

key.addEventListener("change", loadModels);
