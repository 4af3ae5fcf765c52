// Light or dark: the system's setting until the user chooses. Not a module, so that it runs before the first paint.
const root = document.documentElement;
try {
  root.dataset.theme = localStorage.getItem("theme") ?? "";
} catch {
  // the browser blocks storage
}

addEventListener("DOMContentLoaded", () => {
  document.getElementById("theme").addEventListener("click", () => {
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
    try {
      localStorage.setItem("theme", root.dataset.theme);
    } catch {
      // storage is blocked: the choice is lost on reload
    }
  });
});
