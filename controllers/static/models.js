// The server's models: the list to choose from, and the errors of the page that no answer shows.
import { listModels } from "./api.js";
import { byId, element, errorBox } from "./dom.js";
import { explained, key, showKeyHint, showSettings } from "./settings.js";
import { load, store } from "./storage.js";

export const models = byId("models");

export async function loadModels() {
  byId("notice").replaceChildren();
  showKeyHint("Stored for this tab only.");
  try {
    showModels((await listModels(key.value)).filter(({ type }) => (type ?? "chat") === "chat"));
    byId("openapi").hidden = false;
  } catch (error) {
    showError(error);
  }
}

function showModels(listed) {
  const selected = models.value || load("model");
  models.replaceChildren(...listed.map(({ id }) => element("option", { value: id }, id)));
  if (listed.some(({ id }) => id === selected)) models.value = selected;
  const haveOwners = new Set(listed.map(({ owned_by: owner }) => owner)).size > 1;
  byId("model-list").replaceChildren(...listed.map((model) => modelCard(model, haveOwners)));
  markSelected();
  byId("choice").hidden = !listed.length;
  if (!listed.length) byId("notice").append(element("p", {}, "This server has no models to chat with."));
  if (key.value) showKeyHint(`Models available: ${listed.length}. Stored for this tab only.`);
}

export function showError(error) {
  const box = errorBox(explained(error));
  byId("notice").replaceChildren(box);
  if (error.status === 401) {
    byId("openapi").hidden = true;
    byId("choice").hidden = true;
    const button = element("button", { type: "button", className: "main" }, "Enter the key");
    button.addEventListener("click", () => showSettings(key));
    box.append(button);
  }
  byId("notice").scrollIntoView({ block: "nearest" });
}

/** Create the card of a model: what it does, and whose it is if there are several owners. */
function modelCard({ id, owned_by: owner, description }, hasOwner) {
  const button = element("button", { type: "button", value: id }, element("strong", {}, id));
  if (hasOwner && owner) button.append(element("small", {}, owner));
  if (description) button.append(element("span", { title: description }, description));
  button.addEventListener("click", () => {
    models.value = id;
    models.dispatchEvent(new Event("change"));
    byId("prompt").focus();
  });
  return element("li", {}, button);
}

/** Create a button that asks again, which names the chosen model where that is another than the answer's. */
export function againButton([label, joint], model, properties) {
  const button = element("button", { ...properties, "data-label": label, "data-joint": joint, "data-model": model });
  nameModel(button);
  return button;
}

function nameModel(button) {
  const { label, joint, model } = button.dataset;
  const isOther = model && models.value && model !== models.value;
  button.textContent = isOther ? `${label} ${joint} ${models.value}` : label;
}

function markSelected() {
  document.querySelectorAll("[data-joint]").forEach(nameModel);
  for (const button of byId("model-list").querySelectorAll("button")) button.setAttribute("aria-pressed", button.value === models.value);
}

models.addEventListener("change", () => {
  store("model", models.value);
  markSelected();
});
key.addEventListener("change", loadModels);
