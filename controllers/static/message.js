// A message of the user, which can be edited, or the result of a tool, which the row of its call shows.
import { pictures } from "./attachments.js";
import { element, icon, isSubmitKey } from "./dom.js";
import { againButton } from "./models.js";

const PENCIL = "M4 16l.8-3.4L13.6 3.8a1.6 1.6 0 0 1 2.3 0l.3.3a1.6 1.6 0 0 1 0 2.3L7.4 15.2 4 16zM12 5.4 14.6 8";

export class Message {
  /** `resend` takes this message and its new content, and returns whether it was sent. */
  constructor(message, resend) {
    this.message = message;
    this.resend = resend;
    this.bubble = element("div", { className: "bubble" }, textOf(message.content), ...pictures(message.content));
    this.button = element("button", { type: "button", className: "icon edit", "aria-label": "Edit message", title: "Edit message" }, icon(PENCIL));
    this.button.addEventListener("click", () => this.edit());
    this.root = element("article", { className: "message", "aria-label": "You" }, this.bubble, this.button);
  }

  save() {
    return { message: this.message };
  }

  /** Show a field in place of the message. */
  edit() {
    const field = element("textarea", { value: textOf(this.message.content), rows: 1, "aria-label": "Edited message" });
    const cancel = element("button", { type: "button", className: "quiet" }, "Cancel");
    const answer = this.root.nextElementSibling;
    const send = againButton(["Send", "to"], answer?.dataset.model ?? "", { className: "main" });
    const hint = element("span", { className: "hint" }, answer ? "Removes what follows." : "");
    const form = element("form", { className: "editor box" }, field, ...pictures(this.message.content), element("div", { className: "tools" }, hint, cancel, send));
    const close = () => {
      form.replaceWith(this.bubble, this.button);
      this.button.focus();
    };
    cancel.addEventListener("click", close);
    field.addEventListener("keydown", (event) => {
      if (event.key === "Escape") close();
      else if (isSubmitKey(event)) form.requestSubmit();
      else return;
      event.preventDefault();
      event.stopPropagation(); // the page would stop an answer
    });
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const content = withText(this.message.content, field.value);
      if (content.length) this.resend(this, content);
    });
    this.root.replaceChildren(form);
    field.focus();
  }
}

/** Return the text of a message's content, which is a text or a list of parts. */
const textOf = (content) => (Array.isArray(content) ? content.flatMap(({ text }) => text ?? []).join("\n\n") : content);

/** Return content with another text. */
function withText(content, text) {
  if (!Array.isArray(content)) return text.trim() ? text : "";
  const others = content.filter((part) => part.type !== "text");
  return text.trim() ? [{ type: "text", text }, ...others] : others;
}
