/** Every way in which photos come into the page as files: chosen, dropped, pasted. */

import { isHeif, startOf } from "./heif.js";

const SUFFIXES =
  /\.(apng|avifs?|bmp|dib|gif|heics?|heifs?|hif|ico|j2[ck]|jfif|jp[2cfgx]|jpe?g?|mpo|p[bgnp]m|pcx|png|psd|qoi|tga|tiff?|webp)$/i;
// What systems put into folders, which nobody means to give.
const SYSTEM_FILES = /^(\..*|thumbs\.db|desktop\.ini|icon\r)$/i;

/**
 * Listen for photos on the whole page.
 *
 * @param {(files: File[], others: string[]) => void} onPhotos called with the files, none where what
 *   came held no photo, and with the names of those in folders that are no photos
 * @param {(over: boolean) => void} onDrag whether something is being dragged over the page
 */
export function listenForPhotos(onPhotos, onDrag) {
  let depth = 0; // elements entered and not left: each of them says so
  const show = (change) => {
    depth = Math.max(0, depth + change);
    onDrag(depth > 0);
  };
  addEventListener("dragenter", (event) => hasFiles(event) && show(1));
  addEventListener("dragleave", (event) => hasFiles(event) && show(-1));
  addEventListener("dragover", (event) => hasFiles(event) && event.preventDefault());
  addEventListener("drop", async (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    depth = 0;
    onDrag(false);
    onPhotos(...(await droppedFiles(event.dataTransfer)));
  });
  addEventListener("paste", async (event) => {
    if (document.querySelector("dialog[open]")) return; // it would be answered behind it
    const files = [...(event.clipboardData?.files ?? [])];
    const are = await Promise.all(files.map(isPhoto));
    if (are.includes(true)) onPhotos(files, []); // with the others, whose rows say what they are
  });
}

function hasFiles(event) {
  return event.dataTransfer?.types.includes("Files");
}

/**
 * Whether a file may be a photo, by its type, the end of its name, or its content: many systems know
 * no type for HEIC.
 */
async function isPhoto(file) {
  if (file.type.startsWith("image/") || SUFFIXES.test(file.name)) return true;
  return !file.type && isHeif(await startOf(file));
}

/**
 * Files that were dropped, and the photos in folders that were. A file dropped by itself is taken
 * whatever it is, so that its row says why it cannot be read.
 *
 * @returns {Promise<[File[], string[]]>} and the names of other files in folders
 */
async function droppedFiles(transfer) {
  // Entries must be taken before anything is waited for; afterwards the list is empty.
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.() ?? null);
  const files = [...transfer.files];
  const others = [];
  const found = await Promise.all(
    entries.map((entry, index) => (entry?.isDirectory ? filesIn(entry, others) : [files[index]])),
  );
  return [found.flat().filter(Boolean), others];
}

/** All photos in a folder and the folders in it; the names of other files are added to `others`. */
async function filesIn(folder, others) {
  const reader = folder.createReader();
  const found = [];
  for (;;) {
    const entries = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!entries.length) return found; // they come in parts, the last of which is empty
    for (const entry of entries) {
      if (entry.isDirectory) found.push(...(await filesIn(entry, others)));
      else {
        const file = await new Promise((resolve, reject) => entry.file(resolve, reject));
        if (SYSTEM_FILES.test(file.name)) continue;
        if (await isPhoto(file)) found.push(file);
        else others.push(file.name);
      }
    }
  }
}
