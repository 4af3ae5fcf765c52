// The dialog that shows a request as code, or the OpenAPI document.
import { fetchDocument } from "./api.js";
import { contentWith } from "./attachments.js";
import { messagesFor } from "./conversation.js";
import { byId, copy, copyButton } from "./dom.js";
import { models, showError } from "./models.js";
import { checkSettings, extraJson, key, requestBody, selectedApi } from "./settings.js";
import { curl, python } from "./snippets.js";

function showCode(label, code) {
  byId("code").setAttribute("aria-label", label);
  byId("snippet").textContent = code;
  byId("code").showModal();
}

/** Return code with the data of its images cut short. */
const withoutImages = (code) => code.replace(/(;base64,[\w+/]{24})[\w+/=]+/g, "$1…");

for (const language of ["curl", "python"]) {
  byId(language).addEventListener("click", async () => {
    if (!checkSettings()) return;
    const body = requestBody(models.value, messagesFor(contentWith(byId("prompt").value)));
    const code = language === "curl" ? curl(selectedApi(), body, key.value) : python(selectedApi(), body, extraJson(), key.value);
    showCode("Request as code", withoutImages(code));
    if (await copy(code)) byId("copied").textContent = "Copied.";
    else {
      byId("snippet").textContent = code;
      byId("copied").textContent = "Select the text to copy it.";
    }
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
