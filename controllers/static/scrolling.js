// Scrolling: the end of the conversation stays in view until the user scrolls up.
import { byId } from "./dom.js";

const page = byId("page");
let isFollowing = true;
let lastTop = 0; // the previous scroll position

export function scrollToEnd() {
  if (isFollowing) page.scrollTop = page.scrollHeight;
  lastTop = page.scrollTop;
}

/** Scroll to the end, and stay there. */
export function follow() {
  isFollowing = true;
  scrollToEnd();
}

page.addEventListener("scroll", () => {
  const remaining = page.scrollHeight - page.scrollTop - page.clientHeight;
  const isUp = page.scrollTop < lastTop;
  isFollowing = remaining < (isUp ? 1 : 40) || (isFollowing && !isUp);
  lastTop = page.scrollTop;
});
