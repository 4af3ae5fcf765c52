// The stored conversation: the user's messages, results of tools, and answers. If it is too large, what is oldest goes.
import { load, store } from "./storage.js";

const NAME = "conversation";
const LIMIT = 4_000_000; // characters; browsers store about 5 million, and the settings need room too
const LOST = { type: "text", text: "[This image was too large to be kept.]" };

/** Store the turns of a conversation, each of which is `{ message }` or `{ answer }`. */
export function storeTurns(turns) {
  if (attempt(turns)) return;
  let kept = [...turns];
  for (let index = 0; index < kept.length; index++) {
    if (!hasImages(kept[index])) continue;
    kept[index] = { message: { ...kept[index].message, content: kept[index].message.content.map((part) => (isImage(part) ? LOST : part)) } };
    if (attempt(kept)) return;
  }
  while (kept.length) {
    const next = kept.findIndex(({ message }, index) => index && message?.role === "user"); // what follows belongs together
    kept = next < 0 ? [] : kept.slice(next);
    if (attempt(kept)) return;
  }
}

/** Return the stored turns. */
export const loadTurns = () => load(NAME) ?? [];

const isImage = (part) => part.type === "image_url";

const hasImages = ({ message }) => Array.isArray(message?.content) && message.content.some(isImage);

function attempt(turns) {
  return JSON.stringify(turns).length <= LIMIT && store(NAME, turns);
}
