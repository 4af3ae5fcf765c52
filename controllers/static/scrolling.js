// Scrolling: the end of the conversation stays in view until the user scrolls up.
import { byId, moveFocus } from "./dom.js";

const [page, log, down] = ["page", "log", "down"].map(byId);
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

export function scrollToTop() {
  isFollowing = false;
  page.scrollTop = lastTop = 0;
}

const remaining = () => page.scrollHeight - page.scrollTop - page.clientHeight;

function showButton() {
  down.hidden = !log.childElementCount || remaining() < 100;
}

page.addEventListener("scroll", () => {
  const isUp = page.scrollTop < lastTop;
  isFollowing = remaining() < (isUp ? 1 : 40) || (isFollowing && !isUp);
  lastTop = page.scrollTop;
  showButton();
});

down.addEventListener("click", () => {
  follow();
  moveFocus();
});

new ResizeObserver(showButton).observe(log);
