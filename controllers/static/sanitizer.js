// Turns HTML into elements that can do nothing.
import "./vendor/purify.min.js";

const IMAGE = /^data:image\/(?:png|jpeg|gif|webp);base64,/i; // the page loads nothing from other hosts
const OPTIONS = {
  ALLOWED_TAGS: [
    ...["a", "b", "blockquote", "br", "code", "del", "div", "em", "h3", "h4", "h5", "h6", "hr", "i", "img", "ins", "kbd", "li", "mark", "ol"],
    ...["p", "pre", "s", "section", "small", "span", "strong", "sub", "sup", "table", "tbody", "td", "th", "thead", "tr", "u", "ul"],
  ],
  ALLOWED_ATTR: ["align", "alt", "aria-label", "class", "href", "id", "rel", "role", "src", "start", "target", "title"],
  ALLOWED_URI_REGEXP: /^(?:https?:|mailto:|#note-)/i,
  ADD_URI_SAFE_ATTR: ["align", "aria-label", "rel", "start", "target"], // what is no address
  ALLOW_ARIA_ATTR: false, // beyond those above
  ALLOW_DATA_ATTR: false,
  RETURN_DOM_FRAGMENT: true,
};

const purifier = globalThis.DOMPurify;
purifier.addHook("afterSanitizeAttributes", (node) => {
  if (node.tagName === "IMG" && !isImage(node.getAttribute("src"))) node.remove();
});

export const sanitize = (html) => purifier.sanitize(html, OPTIONS);

export const isImage = (address) => IMAGE.test(address ?? "");
