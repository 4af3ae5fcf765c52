// Images that the user attaches to a message: picked, pasted or dropped, and scaled down if they are large.
import { byId, element } from "./dom.js";
import { load, store } from "./storage.js";

const LONGEST = 2048; // pixels of the longer side
const LARGEST = 1_000_000; // bytes of a file that is sent as it is
const SENT_AS_THEY_ARE = ["image/png", "image/jpeg", "image/webp", "image/gif"];
const QUALITY = 0.9;
const LARGEST_STORED = 500_000; // characters of all images; the conversation needs the room

const [list, problem, picker] = ["attachments", "attachment-problem", "files"].map(byId);
let images = []; // each `{ url, name, row }`
let reading = Promise.resolve();

/** Return the content of a message: a text, or parts if there are images. It is empty if there is neither. */
export function contentWith(text) {
  const isBlank = !text.trim();
  if (!images.length) return isBlank ? "" : text;
  const parts = images.map(({ url }) => ({ type: "image_url", image_url: { url } }));
  return isBlank ? parts : [{ type: "text", text }, ...parts];
}

/** Wait for the images that are still being read. */
export const whenRead = () => reading;

export function clearAttachments() {
  images = [];
  save();
  list.replaceChildren();
  problem.textContent = "";
}

/** Keep the images over a reload, if they are small. */
function save() {
  const kept = images.map(({ url, name }) => ({ url, name }));
  store("images", JSON.stringify(kept).length <= LARGEST_STORED ? kept : []);
}

/** Return the elements of a message's images. */
export const pictures = (content) =>
  [content].flat().flatMap(({ image_url: image }) => (image?.url.startsWith("data:image/") ? [element("img", { src: image.url, alt: "Attached image" })] : []));

function attach(files) {
  problem.textContent = "";
  for (const file of files) reading = reading.then(() => add(file)); // one after the other: a photo takes 50 MB of memory
}

async function add(file) {
  try {
    show(await toUrl(file), file.name);
  } catch {
    problem.textContent += `${file.name} is not an image that this browser can read. Attach a PNG, JPEG, WebP or GIF. `;
  }
}

/** Return the image as a `data:` URL, smaller if it is large. */
async function toUrl(file) {
  const bitmap = await createImageBitmap(file);
  const scale = Math.min(1, LONGEST / Math.max(bitmap.width, bitmap.height));
  if (scale === 1 && file.size <= LARGEST && SENT_AS_THEY_ARE.includes(file.type)) return readUrl(file);
  const [width, height] = [bitmap.width, bitmap.height].map((side) => Math.max(1, Math.round(side * scale)));
  const canvas = element("canvas", { width, height });
  const context = canvas.getContext("2d");
  context.fillStyle = "white"; // JPEG has no transparency
  context.fillRect(0, 0, width, height);
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, 0, 0, width, height);
  bitmap.close();
  return canvas.toDataURL("image/jpeg", QUALITY);
}

function readUrl(file) {
  const reader = new FileReader();
  reader.readAsDataURL(file);
  return new Promise((resolve, reject) => {
    reader.onload = () => resolve(reader.result);
    reader.onerror = reject;
  });
}

function show(url, name) {
  const remove = element("button", { type: "button", className: "icon", "aria-label": `Remove ${name}`, title: `Remove ${name}` }, "✕");
  const row = element("li", {}, element("img", { src: url, alt: name }), remove);
  remove.addEventListener("click", () => {
    const next = row.nextElementSibling ?? row.previousElementSibling;
    images = images.filter((image) => image.row !== row);
    save();
    row.remove();
    (next?.querySelector("button") ?? byId("attach")).focus();
  });
  images.push({ url, name, row });
  save();
  list.append(row);
}

byId("attach").addEventListener("click", () => picker.click());
picker.addEventListener("change", () => {
  attach([...picker.files]);
  picker.value = ""; // the same file can be picked again
  byId("prompt").focus();
});

byId("prompt").addEventListener("paste", (event) => {
  const { files } = event.clipboardData;
  if (!files.length || event.clipboardData.getData("text/plain")) return; // programs add a picture to a text that is copied
  event.preventDefault();
  attach([...files]);
});

const markDrop = (isOver) => document.body.classList.toggle("dropping", isOver);
addEventListener("dragover", (event) => {
  if (!event.dataTransfer.types.includes("Files")) return;
  event.preventDefault();
  markDrop(true);
});
addEventListener("dragleave", (event) => event.relatedTarget ?? markDrop(false));
addEventListener("drop", (event) => {
  markDrop(false);
  if (!event.dataTransfer.files.length) return;
  event.preventDefault(); // the browser would open the file
  attach([...event.dataTransfer.files]);
});

for (const { url, name } of [load("images") ?? []].flat()) if (url) show(url, name);
