// @ts-check
/** Receive photos that are dropped or pasted on the page. */

import { isHeif, readHeader } from "./heif.js";

const SUFFIXES =
  /\.(apng|avifs?|bmp|gif|heics?|heifs?|hif|j2[ck]|jfif|jp[2cfgx]|jpe?g?|mpo|p[bgnp]m|png|tiff?|webp)$/i;
// Files that operating systems put into folders.
const SYSTEM_FILES = /^(\..*|thumbs\.db|desktop\.ini|icon\r)$/i;

/**
 * Listen for photos on the whole page.
 *
 * @param {(files: File[], skipped: string[]) => void} onPhotos called with the files, possibly none,
 *   and the names of files in dropped folders that are not photos
 * @param {(over: boolean) => void} onDrag called with whether files are dragged over the page
 */
export function listenForPhotos(onPhotos, onDrag) {
  let depth = 0; // dragenter and dragleave fire for every nested element
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
    if (document.querySelector("dialog[open]")) return; // the result would be hidden behind it
    const files = [...(event.clipboardData?.files ?? [])];
    const arePhotos = await Promise.all(files.map(isPhoto));
    if (arePhotos.includes(true)) onPhotos(files, []); // the others are shown as failed
  });
}

function hasFiles(event) {
  return event.dataTransfer?.types.includes("Files");
}

/** Check a file by MIME type, suffix and, as many systems have no type for HEIC, its content. */
async function isPhoto(file) {
  if (file.type.startsWith("image/") || SUFFIXES.test(file.name)) return true;
  return !file.type && isHeif(await readHeader(file));
}

/**
 * Return dropped files and the photos in dropped folders. A single file is accepted whatever it is,
 * so that its row shows why it cannot be read.
 *
 * @param {DataTransfer} transfer
 * @returns {Promise<[File[], string[]]>} files, and names of other files in folders
 */
async function droppedFiles(transfer) {
  // Read the entries before the first await: the list is empty afterwards.
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.() ?? null);
  const files = [...transfer.files];
  const skipped = [];
  const found = await Promise.all(
    entries.map((entry, index) => (entry?.isDirectory ? photosIn(entry, skipped) : [files[index]])),
  );
  return [found.flat().filter(Boolean), skipped];
}

/** Return all photos in a folder, recursively; append the names of other files to `skipped`. */
async function photosIn(folder, skipped) {
  const reader = folder.createReader();
  const found = [];
  for (;;) {
    const entries = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!entries.length) return found; // entries come in batches, the last one empty
    for (const entry of entries) {
      if (entry.isDirectory) found.push(...(await photosIn(entry, skipped)));
      else {
        const file = await new Promise((resolve, reject) => entry.file(resolve, reject));
        if (SYSTEM_FILES.test(file.name)) continue;
        if (await isPhoto(file)) found.push(file);
        else skipped.push(file.name);
      }
    }
  }
}
