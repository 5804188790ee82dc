/**
 * The service worker: lets the page start, and answer, when the service cannot be reached.
 *
 * The service puts a hash of the page's files and of the model in place of the version. So with any
 * change browsers get a new worker, which fills a cache of its own before it takes over: what is
 * served together belongs together. Answers and photos are never kept.
 */

const VERSION = "__VERSION__";
const CACHE = `platecheck-${VERSION}`;
// How long /v1/model may take before the kept copy is used.
const PATIENCE = 5000;

const SHELL = [
  "/",
  "/page/style.css",
  "/page/manifest.webmanifest",
  "/page/icons/icon.svg",
  "/page/icons/icon-192.png",
  "/page/advice.js",
  "/page/advice-view.js",
  "/page/announce.js",
  "/page/answer-view.js",
  "/page/ask.js",
  "/page/batch.js",
  "/page/camera.js",
  "/page/camera-choice.js",
  "/page/csv.js",
  "/page/dialogs.js",
  "/page/elements.js",
  "/page/feedback-view.js",
  "/page/heif.js",
  "/page/language.js",
  "/page/liveness.js",
  "/page/local-model.js",
  "/page/local-worker.js",
  "/page/main.js",
  "/page/offline.js",
  "/page/open-photo.js",
  "/page/overlay.js",
  "/page/photo-input.js",
  "/page/photos-view.js",
  "/page/prepare.js",
  "/page/resize.js",
  "/page/service.js",
  "/page/settings.js",
  "/page/settings-view.js",
  "/page/shot.js",
  "/page/sound.js",
  "/page/steady.js",
  "/page/texts.js",
  "/page/thumbnail.js",
  "/page/visit.js",
  "/page/visit-view.js",
  "/page/wake-lock.js",
  "/page/watch.js",
  "/page/watch-view.js",
  "/page/words.js",
];
// Large, so kept only when the page asks for it, with the model.
const RUNTIME = [
  "/page/vendor/ort.wasm.bundle.min.mjs",
  "/page/vendor/ort-wasm-simd-threaded.wasm",
];
const MODEL = "/v1/model";
const MODEL_FILE = "/v1/model/file";

const COMMANDS = { "take over": () => self.skipWaiting(), keep, "is kept": isKept, forget };

self.addEventListener("install", (event) => {
  event.waitUntil(add(SHELL));
});

self.addEventListener("activate", (event) => {
  event.waitUntil(removeOthers().then(() => self.clients.claim()));
});

self.addEventListener("message", (event) => {
  const { command, headers } = event.data;
  event.waitUntil(
    COMMANDS[command](headers).then(
      (result) => event.ports[0]?.postMessage({ result }),
      (error) => event.ports[0]?.postMessage({ error: error.message }),
    ),
  );
});

self.addEventListener("fetch", (event) => {
  const { pathname, origin } = new URL(event.request.url);
  if (event.request.method !== "GET" || origin !== self.location.origin) return;
  if (pathname === "/" || pathname.startsWith("/page/")) {
    event.respondWith(fromCache(pathname, event.request));
  } else if (pathname === MODEL || pathname === MODEL_FILE) {
    event.respondWith(fromService(pathname, event.request));
  }
});

/** Put files into the cache as they are on the service now. */
async function add(paths, headers = {}) {
  const cache = await caches.open(CACHE);
  await cache.addAll(paths.map((path) => new Request(path, { cache: "no-cache", headers })));
}

/** Remove what earlier versions kept. */
async function removeOthers() {
  const names = await caches.keys();
  await Promise.all(names.filter((name) => name !== CACHE).map((name) => caches.delete(name)));
}

/** A file of the page: always of this version. */
async function fromCache(path, request) {
  const cache = await caches.open(CACHE);
  return (await cache.match(path, { ignoreVary: true })) ?? fetch(request);
}

/** What the service says now; what was kept where it cannot be reached. */
async function fromService(path, request) {
  try {
    return await reach(request);
  } catch (error) {
    const cache = await caches.open(CACHE);
    const kept = await cache.match(path, { ignoreVary: true });
    if (!kept) throw error;
    const headers = new Headers(kept.headers);
    headers.set("X-Platecheck-Kept", "yes");
    return new Response(kept.body, { status: kept.status, headers });
  }
}

/** Fetch; fails where no service answers in time. The body may then take its time. */
async function reach(request) {
  const controller = new AbortController();
  const timer = setTimeout(() => controller.abort(), PATIENCE);
  try {
    const response = await fetch(request, { signal: controller.signal });
    if (response.status === 502 || response.status === 504) throw new Error("no service there");
    return response;
  } finally {
    clearTimeout(timer);
  }
}

/** Keep the model and what runs it, so that this device can answer alone. */
async function keep(headers) {
  const cache = await caches.open(CACHE);
  const missing = [];
  for (const path of RUNTIME) if (!(await cache.match(path))) missing.push(path);
  await add(missing);
  await add([MODEL, MODEL_FILE], headers); // both or none: they belong together
  return true;
}

/** Whether the model is kept. */
async function isKept() {
  const cache = await caches.open(CACHE);
  const kept = await Promise.all([...RUNTIME, MODEL, MODEL_FILE].map((path) => cache.match(path)));
  return kept.every(Boolean);
}

/** Keep the model no longer: without a key it may not be kept. */
async function forget() {
  const cache = await caches.open(CACHE);
  await Promise.all([MODEL, MODEL_FILE].map((path) => cache.delete(path)));
}
