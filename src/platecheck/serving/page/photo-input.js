/** Every way in which photos come into the page as files: chosen, dropped, pasted. */

const SUFFIXES =
  /\.(apng|avif|bmp|dib|gif|heic|heif|ico|j2k|jfif|jp2|jpe?g?|mpo|pbm|pcx|pgm|png|ppm|psd|qoi|tga|tiff?|webp)$/i;

/**
 * Listen for photos on the whole page.
 *
 * @param {(files: File[]) => void} onPhotos called with at least one file, or with none where what
 *   came held no photo
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
    onPhotos(await droppedFiles(event.dataTransfer));
  });
  addEventListener("paste", (event) => {
    if (document.querySelector("dialog[open]")) return; // it would be answered behind it
    const files = [...(event.clipboardData?.files ?? [])].filter(isPhoto);
    if (files.length) onPhotos(files);
  });
}

function hasFiles(event) {
  return event.dataTransfer?.types.includes("Files");
}

/** Whether a file may be a photo, by its type or the end of its name. */
function isPhoto(file) {
  return file.type.startsWith("image/") || SUFFIXES.test(file.name);
}

/**
 * Files that were dropped, and the photos in folders that were. A file dropped by itself is taken
 * whatever it is, so that its row says why it cannot be read.
 */
async function droppedFiles(transfer) {
  // Entries must be taken before anything is waited for; afterwards the list is empty.
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.() ?? null);
  const files = [...transfer.files];
  const found = await Promise.all(
    entries.map((entry, index) => (entry?.isDirectory ? filesIn(entry) : [files[index]])),
  );
  return found.flat().filter(Boolean);
}

/** All photos in a folder and the folders in it. */
async function filesIn(folder) {
  const reader = folder.createReader();
  const found = [];
  for (;;) {
    const entries = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!entries.length) return found; // they come in parts, the last of which is empty
    for (const entry of entries) {
      if (entry.isDirectory) found.push(...(await filesIn(entry)));
      else {
        const file = await new Promise((resolve, reject) => entry.file(resolve, reject));
        if (isPhoto(file)) found.push(file);
      }
    }
  }
}
