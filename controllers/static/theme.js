// Light or dark: as the system has it, until the reader chooses. No module, so as to run before the first paint.
const root = document.documentElement;
root.dataset.theme = localStorage.getItem("theme") ?? "";

addEventListener("DOMContentLoaded", () => {
  document.getElementById("theme").addEventListener("click", () => {
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    localStorage.setItem("theme", (root.dataset.theme = dark ? "light" : "dark"));
  });
});
